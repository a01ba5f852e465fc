/* SPDX-License-Identifier: MIT
 *
 * lazymem: the library, in some of its modes. Everything that a monitor has to
 * wait for is done while the clock runs: opening the image, mapping, starting
 * the handler, attaching.
 */
#include "complain.h"
#include "engine.h"

#include <inttypes.h>
#include <lazymem/file.h>
#include <lazymem/handler.h>
#include <lazymem/memory.h>
#include <stdlib.h>
#include <string.h>

#define RETRIES 5

struct variant {
	unsigned file_flags;
	bool memfd;
	bool fill; /* prefetch everything from the start on */
};

struct lazy {
	struct lazymem_backing *backing;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
};

static int create_mapping(const struct variant *variant, size_t length,
			  struct lazymem_mapping **ret_mapping)
{
	return variant->memfd ? lazymem_mapping_create_memfd(length, NULL, ret_mapping)
			      : lazymem_mapping_create_anonymous(length, NULL, ret_mapping);
}

static int create_memory(struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	uint64_t length = context->workload->memory;
	struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = variant->file_flags,
		.length = length,
	};
	lazymem_guest_address base = {0};
	int error = lazymem_file_open(context->image->path, &options, &lazy->backing);

	if (error == 0)
		error = create_mapping(variant, length, &lazy->mapping);
	if (error == 0)
		error = lazymem_region_create(lazy->mapping, base, lazy->backing, 0, &lazy->region);
	if (error == 0)
		error = lazymem_memory_create(&lazy->region, 1, &lazy->memory);
	return error;
}

/* As the library does by itself, but not in silence: the touch that waits for
 * the page is about to end this process. */
static enum lazymem_verdict give_up(void *context, const struct lazymem_failure *failure)
{
	const struct engine *engine = context;

	if (failure->attempts <= RETRIES)
		return LAZYMEM_RETRY;
	complain("engine %s cannot read %s at %" PRIu64 ": %s", engine->name, failure->backing,
		 failure->backing_offset, strerror(-failure->error));
	return LAZYMEM_POISON;
}

static int attach(struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	struct lazymem_handler_options options = {
		.size = sizeof(options),
		.cpus = context->cpus.handler >= 0 ? &context->cpus.handler : NULL,
		.cpu_count = context->cpus.handler >= 0 ? 1 : 0,
	};
	struct lazymem_attach_options attach_options = {
		.size = sizeof(attach_options),
		.on_failure = give_up,
		.context = (void *)(uintptr_t)context->engine,
	};
	int error = lazymem_handler_create(&options, &lazy->handler);

	if (error == 0)
		error = lazymem_handler_attach(lazy->handler, lazy->memory, &attach_options,
					       &lazy->attachment);
	if (error == 0 && variant->fill)
		error = lazymem_attachment_prefetch(lazy->attachment, NULL);
	return error;
}

/* Let go of whatever there is of it. */
static int drop(struct lazy *lazy)
{
	int error = 0;

	if (lazy->attachment != NULL)
		lazymem_attachment_abort(lazy->attachment);
	if (lazy->handler != NULL)
		error = lazymem_handler_destroy(lazy->handler);
	lazymem_memory_unref(lazy->memory);
	lazymem_region_unref(lazy->region);
	lazymem_mapping_unref(lazy->mapping);
	lazymem_backing_unref(lazy->backing);
	*lazy = (struct lazy){0};
	return error;
}

static int failed(const struct engine_context *context)
{
	complain("engine %s: %s", context->engine->name, lazymem_error_message());
	return -1;
}

static int prepare(struct engine_context *context)
{
	context->state = calloc(1, sizeof(struct lazy));
	if (context->state != NULL)
		return 0;
	complain("no memory for engine %s", context->engine->name);
	return -1;
}

static int start(struct engine_context *context)
{
	struct lazy *lazy = context->state;
	int error = create_memory(context, lazy);

	if (error == 0)
		error = attach(context, lazy);
	if (error != 0) {
		failed(context);
		drop(lazy);
		return -1;
	}
	context->memory = lazymem_mapping_span(lazy->mapping).host;
	return 0;
}

static int settle(struct engine_context *context)
{
	struct lazy *lazy = context->state;

	return lazymem_attachment_wait(lazy->attachment, UINT64_MAX) == 0 ? 0 : failed(context);
}

static int stop(struct engine_context *context, struct engine_counters *ret_counters)
{
	struct lazy *lazy = context->state;
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	int error = lazymem_attachment_statistics(lazy->attachment, &statistics);

	if (error != 0)
		failed(context);
	*ret_counters =
		(struct engine_counters){true, statistics.faults, true, statistics.bytes_read};
	if (drop(lazy) != 0)
		error = failed(context);
	return error == 0 ? 0 : -1;
}

static void release(struct engine_context *context)
{
	free(context->state);
}

#define OPERATIONS                                                                                 \
	.needs_userfaultfd = true, .has_source = true, .prepare = prepare, .start = start,         \
	.stop = stop, .release = release

static const struct variant demand = {0};
static const struct variant direct = {.file_flags = LAZYMEM_FILE_DIRECT};
static const struct variant memfd = {.memfd = true};
static const struct variant fill = {.fill = true};

const struct engine engine_lazymem = {
	.name = "lazymem",
	.summary = "the library: anonymous memory, buffered file, on demand only",
	.variant = &demand,
	OPERATIONS,
};

const struct engine engine_lazymem_direct = {
	.name = "lazymem-direct",
	.summary = "the same with O_DIRECT",
	.variant = &direct,
	OPERATIONS,
};

const struct engine engine_lazymem_memfd = {
	.name = "lazymem-memfd",
	.summary = "the same in a memfd",
	.variant = &memfd,
	OPERATIONS,
};

const struct engine engine_lazymem_fill = {
	.name = "lazymem-fill",
	.summary = "lazymem and a prefetch of everything from the start on",
	.variant = &fill,
	.settle = settle,
	OPERATIONS,
};
