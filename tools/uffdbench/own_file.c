/* SPDX-License-Identifier: MIT */
#include "own_file.h"
#include "complain.h"
#include "interrupt.h"
#include "progress.h"
#include "recorded_trace.h"
#include "scratch.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/file.h>
#include <lazymem/snapshot_write.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct order {
	const struct engine_context *context;
	enum lazymem_chunk_kind compression;
	bool optimized;
};

static int failed(const struct order *order)
{
	if (!interrupt_came())
		complain("engine %s: %s", order->context->engine->name, lazymem_error_message());
	return -1;
}

static int write_trace(void *argument, const char *path)
{
	struct order *order = argument;
	struct lazymem_trace *trace;
	int error = recorded_trace(order->context->workload, &trace);

	if (error != 0)
		return failed(order);
	error = lazymem_trace_save(trace, path);
	lazymem_trace_destroy(trace);
	return error == 0 ? 0 : failed(order);
}

static int show_progress(void *argument, uint64_t done, uint64_t total)
{
	struct order *order = argument;

	progress_show("%s: writing the snapshot: %" PRIu64 " %%", order->context->engine->name,
		      done * 100 / total);
	return interrupt_came() ? -1 : 0;
}

static int write_image_to(struct order *order, struct lazymem_backing *image,
			  const struct lazymem_trace *trace, const char *path)
{
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = image,
		.trace = trace,
		.compression = order->compression,
		.progress = show_progress,
		.context = order,
	};
	int error = lazymem_snapshot_write(path, &plan);

	progress_clear();
	return error;
}

static int write_snapshot(void *argument, const char *path)
{
	struct order *order = argument;
	const struct engine_context *context = order->context;
	struct lazymem_file_options options = {
		.size = sizeof(options),
		.length = context->workload->memory,
	};
	struct lazymem_backing *image = NULL;
	struct lazymem_trace *trace = NULL;
	int error = lazymem_file_open(context->image->path, &options, &image);

	if (error == 0 && order->optimized)
		error = recorded_trace(context->workload, &trace);
	if (error == 0)
		error = write_image_to(order, image, trace, path);
	lazymem_trace_destroy(trace);
	lazymem_backing_unref(image);
	return error == 0 ? 0 : failed(order);
}

static int own(struct engine_context *context, int fd)
{
	struct stat status;

	if (fd < 0)
		return -1;
	if (fstat(fd, &status) != 0) {
		complain("engine %s: a file in %s: %s", context->engine->name, context->directory,
			 strerror(errno));
		close(fd);
		return -1;
	}
	context->own = (struct source_file){fd, context->directory, (uint64_t)status.st_size};
	return 0;
}

int own_file_trace(struct engine_context *context)
{
	struct order order = {.context = context};

	return own(context, scratch_write(context->directory, write_trace, &order));
}

int own_file_snapshot(struct engine_context *context, enum lazymem_chunk_kind compression,
		      bool optimized)
{
	struct order order = {context, compression, optimized};

	return own(context, scratch_write(context->directory, write_snapshot, &order));
}
