/* SPDX-License-Identifier: MIT
 *
 * naive: poll, read one message, read one page of the image, install it: the
 * loop that most monitors have.
 */
#include "complain.h"
#include "engine.h"
#include "fault_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct naive {
	struct fault_loop loop;
	unsigned char *page;
	int fd;
	uint64_t bytes_read;
};

static int serve(struct fault_loop *loop, size_t offset)
{
	struct naive *naive = loop->context;
	ssize_t count = pread(naive->fd, naive->page, PAGE_BYTES, (off_t)offset);

	if (count != PAGE_BYTES)
		return count < 0 ? -errno : -ENODATA;
	naive->bytes_read += PAGE_BYTES;
	return fault_loop_install(loop, offset, naive->page);
}

static void release(struct engine_context *context)
{
	struct naive *naive = context->state;

	if (naive != NULL)
		free(naive->page);
	free(naive);
}

static int prepare(struct engine_context *context)
{
	struct naive *naive = calloc(1, sizeof(*naive));

	context->state = naive;
	if (naive != NULL)
		naive->page = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	if (naive == NULL || naive->page == NULL) {
		complain("no memory for engine naive");
		return -1;
	}
	memset(naive->page, 0, PAGE_BYTES);
	naive->loop = (struct fault_loop){
		.serve = serve,
		.context = naive,
		.name = context->engine->name,
		.length = context->workload->memory,
		.cpu = context->cpus.handler,
	};
	return 0;
}

static int start(struct engine_context *context)
{
	struct naive *naive = context->state;

	naive->bytes_read = 0;
	naive->fd = open(context->image->path, O_RDONLY | O_CLOEXEC);
	if (naive->fd < 0) {
		complain("engine naive cannot open %s: %s", context->image->name, strerror(errno));
		return -1;
	}
	if (fault_loop_start(&naive->loop) != 0) {
		close(naive->fd);
		return -1;
	}
	context->memory = naive->loop.memory;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *ret_counters)
{
	struct naive *naive = context->state;
	int result = fault_loop_stop(&naive->loop);

	close(naive->fd);
	*ret_counters = (struct engine_counters){true, naive->loop.faults, true, naive->bytes_read};
	return result;
}

const struct engine engine_naive = {
	.name = "naive",
	.summary = "one message, one pread of 4 KiB, one COPY",
	.needs_userfaultfd = true,
	.has_source = true,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.release = release,
};
