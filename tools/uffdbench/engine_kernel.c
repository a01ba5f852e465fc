/* SPDX-License-Identifier: MIT
 *
 * kernel: a private mapping of the image and no userfaultfd; what a user would
 * do without us.
 */
#include "complain.h"
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int start(struct engine_context *context)
{
	int fd = open(context->image->path, O_RDONLY | O_CLOEXEC);
	void *memory = MAP_FAILED;

	if (fd >= 0) {
		memory = mmap(NULL, context->workload->memory, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_NORESERVE, fd, 0);
		close(fd);
	}
	if (memory == MAP_FAILED) {
		complain("engine kernel cannot map %s: %s", context->image->name, strerror(errno));
		return -1;
	}
	context->memory = memory;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	munmap(context->memory, context->workload->memory);
	(void)counters;
	return 0;
}

const struct engine engine_kernel = {
	.name = "kernel",
	.summary = "mmap(MAP_PRIVATE) of the image, no userfaultfd",
	.has_source = true,
	.start = start,
	.stop = stop,
};
