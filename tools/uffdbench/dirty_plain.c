/* SPDX-License-Identifier: MIT
 *
 * Ranges are sorted, and neighbours in memory are neighbours in the file, so there is
 * nothing that pwritev could put together.
 */
#include "dirty_plain.h"
#include "complain.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* So much is written before storage is told to begin with it. */
#define EARLY_BYTES (4u * 1024 * 1024)

/* Advice: where it is refused, fdatasync does it all. */
static void begin_storing(int fd, uint64_t start, uint64_t end)
{
	(void)sync_file_range(fd, (off_t)start, (off_t)(end - start), SYNC_FILE_RANGE_WRITE);
}

int dirty_plain_sync(enum dirty_plain way, int fd, const char *name,
		     const struct dirty_pages *pages, const void *memory)
{
	uint64_t waiting = 0, start = 0;

	for (size_t i = 0; i < pages->range_count; i++) {
		const struct dirty_range *range = &pages->ranges[i];

		if (write_all(fd, (const char *)memory + range->offset, range->length,
			      range->offset, name) != 0)
			return -1;
		waiting += range->length;
		if (way != DIRTY_PLAIN_EARLY || waiting < EARLY_BYTES)
			continue;
		begin_storing(fd, start, range->offset + range->length);
		start = range->offset + range->length;
		waiting = 0;
	}
	if (fdatasync(fd) == 0)
		return 0;
	complain("cannot write to %s: %s", name, strerror(errno));
	return -1;
}
