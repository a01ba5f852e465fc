/* SPDX-License-Identifier: MIT
 *
 * naive: poll, read one message, read one page of the image, install it: the
 * loop that most monitors have.
 */
#include "complain.h"
#include "page_source.h"

#include <stdlib.h>

struct naive {
	struct fault_loop loop;
	struct page_source source;
};

static int serve(struct fault_loop *loop, size_t offset)
{
	struct naive *naive = loop->context;

	return page_source_serve(&naive->source, loop, offset);
}

static void release(struct engine_context *context)
{
	struct naive *naive = context->state;

	if (naive != NULL)
		page_source_destroy(&naive->source);
	free(naive);
}

static int prepare(struct engine_context *context)
{
	struct naive *naive = calloc(1, sizeof(*naive));

	context->state = naive;
	if (naive == NULL) {
		complain("no memory for engine naive");
		return -1;
	}
	naive->loop = (struct fault_loop){
		.serve = serve,
		.context = naive,
		.name = context->engine->name,
		.length = context->workload->memory,
		.cpu = context->cpus.handler,
	};
	return page_source_create(&naive->source, context->engine->name);
}

static int start(struct engine_context *context)
{
	struct naive *naive = context->state;

	return page_source_start(&naive->source, &naive->loop, context);
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	struct naive *naive = context->state;

	return page_source_stop(&naive->source, &naive->loop, counters);
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
