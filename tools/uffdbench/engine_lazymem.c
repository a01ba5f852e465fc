/* SPDX-License-Identifier: MIT
 *
 * lazymem: the library, in some of its modes. Everything that a monitor has to
 * wait for is done while the clock runs: opening the image or the snapshot,
 * loading the trace, mapping, starting the handler, attaching. Snapshots and
 * traces are made beforehand.
 */
#include "complain.h"
#include "engine.h"
#include "own_file.h"
#include "scratch.h"

#include <inttypes.h>
#include <lazymem/file.h>
#include <lazymem/handler.h>
#include <lazymem/memory.h>
#include <lazymem/snapshot.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RETRIES 5

/* Pages outside of the recorded set come with their neighbours. */
#define SNAPSHOT_FAULT_AROUND (16u * 1024)

enum own {
	OWN_NOTHING, /* the image is served as it is */
	OWN_TRACE,   /* likewise, and there is a trace */
	OWN_SNAPSHOT,
	OWN_OPTIMIZED, /* a snapshot with a trace */
};

enum prefetch {
	PREFETCH_NOTHING,
	PREFETCH_EVERYTHING,
	PREFETCH_TRACE,
};

struct variant {
	enum own own;
	enum lazymem_chunk_kind compression; /* of the snapshot */
	enum prefetch prefetch;
	unsigned file_flags;
	unsigned snapshot_flags;
	bool memfd;
	size_t fault_around;
};

struct lazy {
	struct lazymem_trace *trace;
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *backing;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
};

static int open_snapshot(const struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options),
		.flags = variant->snapshot_flags,
	};
	int error = lazymem_snapshot_open(scratch_path(context->own.fd).text, &options,
					  &lazy->snapshot);

	if (error == 0)
		lazy->backing = lazymem_backing_ref(lazymem_snapshot_backing(lazy->snapshot));
	return error;
}

static int open_image(const struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = variant->file_flags,
		.length = context->workload->memory,
	};
	int error = lazymem_file_open(context->image->path, &options, &lazy->backing);

	if (error == 0 && variant->own == OWN_TRACE)
		error = lazymem_trace_load(scratch_path(context->own.fd).text, &lazy->trace);
	return error;
}

static int create_mapping(const struct variant *variant, size_t length,
			  struct lazymem_mapping **ret_mapping)
{
	return variant->memfd ? lazymem_mapping_create_memfd(length, NULL, ret_mapping)
			      : lazymem_mapping_create_anonymous(length, NULL, ret_mapping);
}

static int create_memory(const struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	lazymem_guest_address base = {0};
	int error = variant->own >= OWN_SNAPSHOT ? open_snapshot(context, lazy)
						 : open_image(context, lazy);

	if (error == 0)
		error = create_mapping(variant, context->workload->memory, &lazy->mapping);
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

static int prefetch(const struct variant *variant, const struct lazy *lazy)
{
	struct lazymem_prefetch options = {.size = sizeof(options)};

	if (variant->prefetch == PREFETCH_NOTHING)
		return 0;
	if (variant->prefetch == PREFETCH_TRACE)
		options.trace = lazy->snapshot != NULL ? lazymem_snapshot_trace(lazy->snapshot)
						       : lazy->trace;
	return lazymem_attachment_prefetch(lazy->attachment, &options);
}

static int attach(struct engine_context *context, struct lazy *lazy)
{
	const struct variant *variant = context->engine->variant;
	struct lazymem_handler_options options = {
		.size = sizeof(options),
		.fault_around = variant->fault_around,
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
	return error == 0 ? prefetch(variant, lazy) : error;
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
	lazymem_snapshot_unref(lazy->snapshot);
	lazymem_trace_destroy(lazy->trace);
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
	const struct variant *variant = context->engine->variant;

	context->state = calloc(1, sizeof(struct lazy));
	if (context->state == NULL) {
		complain("no memory for engine %s", context->engine->name);
		return -1;
	}
	if (variant->own == OWN_NOTHING)
		return 0;
	if (variant->own == OWN_TRACE)
		return own_file_trace(context);
	return own_file_snapshot(context, variant->compression, variant->own == OWN_OPTIMIZED);
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

static int count(const struct lazy *lazy, struct engine_counters *counters)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	int error = lazymem_attachment_statistics(lazy->attachment, &statistics);

	if (error != 0)
		return error;
	counters->faults_known = true;
	counters->faults = statistics.faults;
	counters->bytes_known = true;
	counters->bytes_read = statistics.bytes_read;
	counters->waits_known = true;
	counters->waited = statistics.coalesced;
	counters->late = statistics.already_present;
	return 0;
}

static int stop(struct engine_context *context, struct engine_counters *counters)
{
	struct lazy *lazy = context->state;
	int result = count(lazy, counters) == 0 ? 0 : failed(context);

	if (drop(lazy) != 0)
		result = failed(context);
	return result;
}

static void release(struct engine_context *context)
{
	if (context->own.fd >= 0)
		close(context->own.fd);
	free(context->state);
}

#define OPERATIONS                                                                                 \
	.needs_userfaultfd = true, .has_source = true, .prepare = prepare, .start = start,         \
	.stop = stop, .release = release

const struct engine engine_lazymem = {
	.name = "lazymem",
	.summary = "the library: anonymous memory, buffered file, on demand only",
	.variant = &(const struct variant){0},
	OPERATIONS,
};

const struct engine engine_lazymem_direct = {
	.name = "lazymem-direct",
	.summary = "the same with O_DIRECT",
	.variant = &(const struct variant){.file_flags = LAZYMEM_FILE_DIRECT},
	OPERATIONS,
};

const struct engine engine_lazymem_memfd = {
	.name = "lazymem-memfd",
	.summary = "the same in a memfd",
	.variant = &(const struct variant){.memfd = true},
	OPERATIONS,
};

const struct engine engine_lazymem_fill = {
	.name = "lazymem-fill",
	.summary = "lazymem and a prefetch of everything from the start on",
	.variant = &(const struct variant){.prefetch = PREFETCH_EVERYTHING},
	.prefetches = true,
	.settle = settle,
	OPERATIONS,
};

const struct engine engine_lazymem_prefetch = {
	.name = "lazymem-prefetch",
	.summary = "lazymem and a prefetch of the recorded set from the start on",
	.variant = &(const struct variant){.own = OWN_TRACE, .prefetch = PREFETCH_TRACE},
	.prefetches = true,
	OPERATIONS,
};

const struct engine engine_lazymem_snapshot = {
	.name = "lazymem-snapshot",
	.summary = "the same out of a snapshot that has the recorded set first",
	.variant = &(const struct variant){.own = OWN_OPTIMIZED,
					   .snapshot_flags = LAZYMEM_SNAPSHOT_CACHED_OR_DIRECT,
					   .prefetch = PREFETCH_TRACE,
					   .fault_around = SNAPSHOT_FAULT_AROUND},
	.prefetches = true,
	OPERATIONS,
};

const struct engine engine_lazymem_verified = {
	.name = "lazymem-verified",
	.summary = "lazymem out of a snapshot: each page with its checksum",
	.variant = &(const struct variant){.own = OWN_SNAPSHOT},
	OPERATIONS,
};

const struct engine engine_lazymem_lz4 = {
	.name = "lazymem-lz4",
	.summary = "lazymem out of a snapshot that is compressed by LZ4",
	.variant = &(const struct variant){.own = OWN_SNAPSHOT, .compression = LAZYMEM_CHUNK_LZ4},
	OPERATIONS,
};

const struct engine engine_lazymem_zstd = {
	.name = "lazymem-zstd",
	.summary = "lazymem out of a snapshot that is compressed by zstd",
	.variant = &(const struct variant){.own = OWN_SNAPSHOT, .compression = LAZYMEM_CHUNK_ZSTD},
	OPERATIONS,
};
