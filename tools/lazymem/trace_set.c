/* SPDX-License-Identifier: MIT
 *
 * All places where a range of any trace begins or ends cut guest memory into
 * segments; each range is a run of whole segments. Walking the ranges in order
 * visits segments, each at most once: `next` leads from a segment to the first
 * one from it on that was not visited, with the paths compressed on the way. So
 * the cost is that of sorting, however long the ranges are and however often
 * they overlap.
 */
#include "trace_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct segments {
	/* Ascending; segment i is from bounds[i] up to bounds[i + 1]. The end of a
	 * range that ends at 2^64 is one byte less, and it is no other bound,
	 * because all others are whole pages. */
	uint64_t *bounds;
	size_t count; /* of bounds */
	size_t *next;
	size_t *traces; /* how many of them have the segment */
};

static uint64_t end_of(struct lazymem_guest_range range)
{
	const uint64_t end = range.start.value + range.length;

	return end == 0 ? UINT64_MAX : end;
}

static int compare(const void *a, const void *b)
{
	const uint64_t first = *(const uint64_t *)a;
	const uint64_t second = *(const uint64_t *)b;

	return (first > second) - (first < second);
}

static size_t count_ranges(struct lazymem_trace *const *traces, size_t count)
{
	size_t ranges = 0;

	for (size_t i = 0; i < count; i++)
		ranges += lazymem_trace_count(traces[i]);
	return ranges;
}

static void fill_bounds(struct segments *segments, struct lazymem_trace *const *traces,
			size_t count)
{
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < lazymem_trace_count(traces[i]); j++) {
			const struct lazymem_guest_range range = lazymem_trace_range(traces[i], j);

			segments->bounds[used++] = range.start.value;
			segments->bounds[used++] = end_of(range);
		}
	}
	qsort(segments->bounds, used, sizeof(uint64_t), compare);
	for (size_t i = 0; i < used; i++) {
		if (i == 0 || segments->bounds[i] != segments->bounds[segments->count - 1])
			segments->bounds[segments->count++] = segments->bounds[i];
	}
}

static void free_segments(struct segments *segments)
{
	free(segments->bounds);
	free(segments->next);
	free(segments->traces);
}

static int make_segments(struct lazymem_trace *const *traces, size_t count,
			 struct segments *ret_segments)
{
	const size_t most = 2 * count_ranges(traces, count) + 1;

	*ret_segments = (struct segments){
		.bounds = calloc(most, sizeof(uint64_t)),
		.next = calloc(most, sizeof(size_t)),
		.traces = calloc(most, sizeof(size_t)),
	};
	if (ret_segments->bounds == NULL || ret_segments->next == NULL ||
	    ret_segments->traces == NULL)
		return -ENOMEM;
	fill_bounds(ret_segments, traces, count);
	return 0;
}

static void forget_visits(struct segments *segments)
{
	for (size_t i = 0; i < segments->count; i++)
		segments->next[i] = i;
}

/* The first segment from `index` on that was not visited. */
static size_t find_unvisited(struct segments *segments, size_t index)
{
	size_t found = index;

	while (segments->next[found] != found)
		found = segments->next[found];
	while (segments->next[index] != index) {
		const size_t step = segments->next[index];

		segments->next[index] = found;
		index = step;
	}
	return found;
}

static size_t index_of(const struct segments *segments, uint64_t bound)
{
	const uint64_t *found =
		bsearch(&bound, segments->bounds, segments->count, sizeof(bound), compare);

	return (size_t)(found - segments->bounds);
}

/* Visit what was not visited of a range. Returns what `visit` does, when that
 * is not 0. */
static int visit_range(struct segments *segments, struct lazymem_guest_range range,
		       int (*visit)(struct segments *segments, size_t index, void *context),
		       void *context)
{
	const size_t end = index_of(segments, end_of(range));
	size_t index = find_unvisited(segments, index_of(segments, range.start.value));

	while (index < end) {
		const int error = visit(segments, index, context);

		if (error != 0)
			return error;
		segments->next[index] = index + 1;
		index = find_unvisited(segments, index);
	}
	return 0;
}

static int visit_trace(struct segments *segments, const struct lazymem_trace *trace,
		       int (*visit)(struct segments *segments, size_t index, void *context),
		       void *context)
{
	int error = 0;

	for (size_t i = 0; i < lazymem_trace_count(trace) && error == 0; i++)
		error = visit_range(segments, lazymem_trace_range(trace, i), visit, context);
	return error;
}

/* A visit: one more trace has it. */
static int count_visit(struct segments *segments, size_t index, void *context)
{
	(void)context;
	segments->traces[index]++;
	return 0;
}

struct result {
	struct lazymem_trace *trace;
	size_t least; /* so many traces must have a segment */
};

/* A visit: append it, if it belongs there. */
static int append_visit(struct segments *segments, size_t index, void *context)
{
	const struct result *result = context;
	const uint64_t start = segments->bounds[index];
	const uint64_t end = segments->bounds[index + 1];

	if (segments->traces[index] < result->least)
		return 0;
	return lazymem_trace_append(
		result->trace,
		(struct lazymem_guest_range){{start}, end - start + (end == UINT64_MAX)});
}

static int create_result(struct lazymem_trace *const *traces, size_t count,
			 struct lazymem_trace **ret_trace)
{
	size_t page_size = lazymem_trace_page_size(traces[0]);

	for (size_t i = 1; i < count; i++) {
		if (lazymem_trace_page_size(traces[i]) < page_size)
			page_size = lazymem_trace_page_size(traces[i]);
	}
	return lazymem_trace_create(page_size, ret_trace);
}

/* Of the first `ordered` traces, in their order, what at least `least` of all
 * traces have. */
static int combine(struct lazymem_trace *const *traces, size_t count, size_t ordered, size_t least,
		   struct lazymem_trace **ret_trace)
{
	struct result result = {.least = least};
	struct segments segments;
	int error = make_segments(traces, count, &segments);

	for (size_t i = 0; i < count && error == 0; i++) {
		forget_visits(&segments);
		error = visit_trace(&segments, traces[i], count_visit, NULL);
	}
	if (error == 0)
		error = create_result(traces, count, &result.trace);
	if (error == 0)
		forget_visits(&segments);
	for (size_t i = 0; i < ordered && error == 0; i++)
		error = visit_trace(&segments, traces[i], append_visit, &result);
	free_segments(&segments);
	if (error != 0) {
		lazymem_trace_destroy(result.trace);
		return error;
	}
	*ret_trace = result.trace;
	return 0;
}

int trace_set_union(struct lazymem_trace *const *traces, size_t count,
		    struct lazymem_trace **ret_trace)
{
	return combine(traces, count, count, 1, ret_trace);
}

int trace_set_intersect(struct lazymem_trace *const *traces, size_t count,
			struct lazymem_trace **ret_trace)
{
	return combine(traces, count, 1, count, ret_trace);
}
