/* SPDX-License-Identifier: MIT
 *
 * A snapshot's own trace is in the guest addresses of its regions; the file that the
 * program maps holds the regions one after the other, as the snapshot's object does.
 */
#include "prefetch.h"
#include "complain.h"
#include "traces.h"

#include <errno.h>
#include <stdlib.h>

struct ranges {
	struct lazymem_guest_range *all;
	size_t count, room;
};

static int add(struct ranges *ranges, uint64_t start, uint64_t length)
{
	if (ranges->count == ranges->room) {
		const size_t room = ranges->room == 0 ? 256 : ranges->room * 2;
		struct lazymem_guest_range *grown = reallocarray(ranges->all, room, sizeof(*grown));

		if (grown == NULL)
			return ENOMEM;
		ranges->all = grown;
		ranges->room = room;
	}
	ranges->all[ranges->count++] =
		(struct lazymem_guest_range){.start = {start}, .length = length};
	return 0;
}

/* The part of a range that lies in a region of the snapshot. */
static int add_part(struct ranges *ranges, uint64_t base, struct lazymem_guest_range range,
		    const struct lazymem_snapshot_region *region)
{
	const uint64_t start = range.start.value, region_start = region->base.value;
	const uint64_t from = start > region_start ? start : region_start;
	const uint64_t skip = from - region_start, passed = from - start;
	uint64_t length = range.length;

	if (passed >= range.length || skip >= region->length)
		return 0;
	length -= passed;
	if (length > region->length - skip)
		length = region->length - skip;
	return add(ranges, base + region->offset + skip, length);
}

static int add_trace(struct ranges *ranges, uint64_t base, const struct source *source)
{
	const struct lazymem_trace *trace = lazymem_snapshot_trace(source->snapshot);
	const size_t count = trace != NULL ? lazymem_trace_count(trace) : 0;
	int error = 0;

	for (size_t i = 0; error == 0 && i < count; i++)
		for (size_t j = 0; error == 0 && j < source->region_count; j++)
			error = add_part(ranges, base, lazymem_trace_range(trace, i),
					 &source->regions[j]);
	return error;
}

/* 0, or an errno value after a message. */
static int queue(struct lazymem_attachment *attachment, const struct lazymem_prefetch *prefetch,
		 const char *name)
{
	const int error = lazymem_attachment_prefetch(attachment, prefetch);

	if (error != 0)
		complain("%s: %s; it goes on without", name, lazymem_error_message());
	return -error;
}

static int replay_own(const struct run_settings *settings, const struct run_opened *opened,
		      struct lazymem_attachment *attachment)
{
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch)};
	struct ranges ranges = {.all = NULL};
	int error = 0;

	for (size_t i = 0; error == 0 && i < settings->memory_count; i++)
		if (opened[i].source.snapshot != NULL)
			error = add_trace(&ranges, run_memory_base(settings, i), &opened[i].source);
	prefetch.ranges = ranges.all;
	prefetch.range_count = ranges.count;
	if (error != 0)
		complain("no memory for the trace of a snapshot; it goes on without");
	else if (ranges.count > 0)
		error = queue(attachment, &prefetch, "the trace of a snapshot");
	free(ranges.all);
	return error;
}

static int replay_file(const char *path, struct lazymem_attachment *attachment)
{
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch)};
	struct lazymem_trace *trace = traces_load(path);
	int error;

	if (trace == NULL)
		return EBADMSG;
	prefetch.trace = trace;
	error = queue(attachment, &prefetch, path);
	lazymem_trace_destroy(trace);
	return error;
}

/* ---- all ---------------------------------------------------------------------- */

/* A range that follows on the last one, or begins in its last page, is joined to it. */
static int add_joined(struct ranges *ranges, uint64_t start, uint64_t end)
{
	struct lazymem_guest_range *last =
		ranges->count > 0 ? &ranges->all[ranges->count - 1] : NULL;

	if (last == NULL || start > last->start.value + last->length)
		return add(ranges, start, end - start);
	last->length = end - last->start.value;
	return 0;
}

/* The pages of a memory that are no holes: these would cost memory, and no time later. */
static int add_data(struct ranges *ranges, uint64_t base, const struct run_memory *memory,
		    struct lazymem_backing *backing)
{
	const uint64_t page = memory->page_size, whole = lazymem_backing_length(backing);
	struct lazymem_extent extent;
	int error = 0;

	for (uint64_t at = 0; error == 0 && at < whole; at = extent.start + extent.length) {
		if (lazymem_backing_extent(backing, at, whole - at, &extent) != 0)
			extent = (struct lazymem_extent){.start = at, .length = whole - at};
		if (extent.kind == LAZYMEM_EXTENT_DATA)
			error = add_joined(
				ranges, base + (extent.start & ~(page - 1)),
				base + ((extent.start + extent.length + page - 1) & ~(page - 1)));
	}
	return error;
}

int run_prefetch_all(const struct run_settings *settings, const struct run_opened *opened,
		     struct lazymem_attachment *attachment)
{
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch)};
	struct ranges ranges = {.all = NULL};
	int error = 0;

	for (size_t i = 0; error == 0 && i < settings->memory_count; i++)
		error = add_data(&ranges, run_memory_base(settings, i), &settings->memories[i],
				 opened[i].source.backing);
	prefetch.ranges = ranges.all;
	prefetch.range_count = ranges.count;
	if (error != 0)
		complain("no memory for what is to be prefetched; it goes on without");
	else if (ranges.count > 0)
		error = queue(attachment, &prefetch, "everything");
	free(ranges.all);
	return error;
}

int run_prefetch_start(const struct run_settings *settings, const struct run_opened *opened,
		       struct lazymem_attachment *attachment)
{
	int error = 0;

	if (settings->prefetch != RUN_PREFETCH_NONE)
		error = settings->replay != NULL ? replay_file(settings->replay, attachment)
						 : replay_own(settings, opened, attachment);
	if (settings->prefetch == RUN_PREFETCH_ALL)
		(void)run_prefetch_all(settings, opened, attachment);
	return error;
}
