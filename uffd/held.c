/* SPDX-License-Identifier: MIT
 *
 * Does a discarded page hold something all the same?
 *
 * An event says that a range of shared memory goes, and comes before it does.
 * MADV_REMOVE takes the data; MADV_DONTNEED takes the page tables alone, and the next access
 * finds the page as it was. Likewise somebody may have filled a page through another
 * mapping, unseen. So whoever is about to take a discarded page for zeros asks the file
 * behind it first.
 *
 * SEEK_DATA answers for a whole run, swapped out or not. It moves the offset of its
 * descriptor, which therefore is one of ours. hugetlbfs does not know its holes: there, and
 * where no descriptor was to be had, the bytes are read, which allocates nothing.
 */
#include "uffd/held.h"

#include "core/checked.h"
#include "core/mapping_operations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_AT_ONCE ((size_t)64 << 10)

void lm_held_open(struct lm_lazy_region *region)
{
	char path[32];
	uint64_t offset;
	int fd;

	if (!lm_mapping_is_shared(region->mapping) ||
	    region->page_size != (size_t)sysconf(_SC_PAGESIZE) ||
	    lazymem_mapping_fd(region->mapping, &fd, &offset) != 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	region->file = open(path, O_RDONLY | O_CLOEXEC);
}

void lm_held_close(struct lm_lazy_region *region)
{
	if (region->file >= 0)
		close(region->file);
	region->file = -1;
}

/* The bytes from `offset` of the file on that are alike, at most `length`; 0: it does not tell. */
static uint64_t seek_run(int file, uint64_t offset, uint64_t length, bool *ret_held)
{
	const off_t start = (off_t)offset;
	const off_t data = lseek(file, start, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno != ENXIO) /* ENXIO: none from there on */
		return 0;
	*ret_held = data == start;
	if (data != start)
		return data < 0 ? length : lm_min(length, (uint64_t)(data - start));
	hole = lseek(file, start, SEEK_HOLE);
	return hole < 0 ? 0 : lm_min(length, (uint64_t)(hole - start));
}

static bool is_zero(const char *bytes, size_t length)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

/* What cannot be read may be anything. */
static bool has_bytes(int fd, uint64_t offset, size_t length)
{
	char bytes[READ_AT_ONCE];

	while (length > 0) {
		const ssize_t got =
			pread(fd, bytes, (size_t)lm_min(length, sizeof(bytes)), (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0 || !is_zero(bytes, (size_t)got))
			return true;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return false;
}

size_t lm_held_run(const struct lm_lazy_region *region, size_t page, size_t count, bool *ret_held)
{
	uint64_t offset, length = 0;
	int fd;

	*ret_held = false;
	if (!lm_mapping_is_shared(region->mapping) ||
	    lazymem_mapping_fd(region->mapping, &fd, &offset) != 0)
		return count;
	offset += (uint64_t)page << region->page_shift;
	if (region->file >= 0)
		length = seek_run(region->file, offset, (uint64_t)count << region->page_shift,
				  ret_held);
	if (length > 0) /* the file may end inside its last page */
		return (size_t)((length + region->page_size - 1) >> region->page_shift);
	*ret_held = has_bytes(fd, offset, region->page_size);
	return 1;
}
