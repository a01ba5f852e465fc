/* SPDX-License-Identifier: MIT
 *
 * eager: read all of the image into memory, then touch.
 */
#include "complain.h"
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int load(int fd, unsigned char *memory, uint64_t length)
{
	uint64_t at = 0;

	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	while (at < length) {
		ssize_t count = pread(fd, memory + at, length - at, (off_t)at);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			return count < 0 ? -errno : -ENODATA;
		at += (uint64_t)count;
	}
	return 0;
}

static int start(struct engine_context *context)
{
	uint64_t length = context->workload->memory;
	int fd = open(context->image->path, O_RDONLY | O_CLOEXEC);
	void *memory =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int error = fd < 0 || memory == MAP_FAILED ? -errno : load(fd, memory, length);

	if (fd >= 0)
		close(fd);
	if (error == 0) {
		context->memory = memory;
		return 0;
	}
	if (memory != MAP_FAILED)
		munmap(memory, length);
	complain("engine eager cannot load %s: %s", context->image->name, strerror(-error));
	return -1;
}

/* Everything is there when start returns. */
static int settle(struct engine_context *context)
{
	(void)context;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	munmap(context->memory, context->workload->memory);
	counters->bytes_known = true;
	counters->bytes_read = context->workload->memory;
	return 0;
}

const struct engine engine_eager = {
	.name = "eager",
	.summary = "read the whole image into memory, then touch",
	.has_source = true,
	.start = start,
	.settle = settle,
	.stop = stop,
};
