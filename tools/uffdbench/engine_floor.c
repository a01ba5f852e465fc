/* SPDX-License-Identifier: MIT
 *
 * floor: poll, read one message, install a page that is hot in the cache. No
 * source: the cost of the mechanism, below which nobody gets with one page a
 * message. What the pages hold is not compared with the image.
 */
#include "complain.h"
#include "engine.h"
#include "fault_loop.h"

#include <stdlib.h>

static const unsigned char hot_page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES))) = {1};

static int serve(struct fault_loop *loop, size_t offset)
{
	return fault_loop_install(loop, offset, hot_page);
}

static int prepare(struct engine_context *context)
{
	struct fault_loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL) {
		complain("no memory for engine floor");
		return -1;
	}
	loop->serve = serve;
	loop->name = context->engine->name;
	loop->length = context->workload->memory;
	loop->cpu = context->cpus.handler;
	context->state = loop;
	return 0;
}

static int start(struct engine_context *context)
{
	struct fault_loop *loop = context->state;

	if (fault_loop_start(loop) != 0)
		return -1;
	context->memory = loop->memory;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	struct fault_loop *loop = context->state;
	int result = fault_loop_stop(loop);

	counters->faults_known = true;
	counters->faults = loop->faults;
	counters->bytes_known = true;
	return result;
}

static void release(struct engine_context *context)
{
	free(context->state);
}

const struct engine engine_floor = {
	.name = "floor",
	.summary = "userfaultfd alone: one message, one COPY from a hot buffer; no source",
	.needs_userfaultfd = true,
	.prepare = prepare,
	.start = start,
	.stop = stop,
	.release = release,
};
