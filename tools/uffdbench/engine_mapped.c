/* SPDX-License-Identifier: MIT
 *
 * mapped: poll, read one message, install a page out of a mapping of the
 * image. The kernel reads the image while COPY faults on the mapping, so the
 * engine cannot tell how much it reads.
 */
#include "complain.h"
#include "engine.h"
#include "fault_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct mapped {
	struct fault_loop loop;
	unsigned char *image;
};

static int serve(struct fault_loop *loop, size_t offset)
{
	struct mapped *mapped = loop->context;

	return fault_loop_install(loop, offset, mapped->image + offset);
}

static int prepare(struct engine_context *context)
{
	struct mapped *mapped = calloc(1, sizeof(*mapped));

	if (mapped == NULL) {
		complain("no memory for engine mapped");
		return -1;
	}
	mapped->loop = (struct fault_loop){
		.serve = serve,
		.context = mapped,
		.name = context->engine->name,
		.length = context->workload->memory,
		.cpu = context->cpus.handler,
	};
	context->state = mapped;
	return 0;
}

static int start(struct engine_context *context)
{
	struct mapped *mapped = context->state;
	size_t length = context->workload->memory;
	int fd = open(context->image->path, O_RDONLY | O_CLOEXEC);
	void *image = MAP_FAILED;

	if (fd >= 0) {
		image = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
	}
	if (image == MAP_FAILED) {
		complain("engine mapped cannot map %s: %s", context->image->name, strerror(errno));
		return -1;
	}
	mapped->image = image;
	if (fault_loop_start(&mapped->loop) != 0) {
		munmap(image, length);
		return -1;
	}
	context->memory = mapped->loop.memory;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	struct mapped *mapped = context->state;
	int result = fault_loop_stop(&mapped->loop);

	munmap(mapped->image, context->workload->memory);
	counters->faults_known = true;
	counters->faults = mapped->loop.faults;
	return result;
}

static void release(struct engine_context *context)
{
	free(context->state);
}

const struct engine engine_mapped = {
	.name = "mapped",
	.summary = "one message, one COPY of 4 KiB out of a mapping of the image",
	.needs_userfaultfd = true,
	.has_source = true,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.release = release,
};
