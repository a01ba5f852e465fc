/* SPDX-License-Identifier: MIT
 *
 * trace.c - guest ranges in the order in which a run first touched them.
 */
#include "core/trace.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define SMALLEST_PAGE ((size_t)4096)
#define LARGEST_PAGE ((size_t)1 << 30)

int lazymem_trace_create(size_t page_size, struct lazymem_trace **ret_trace)
{
	struct lazymem_trace *trace;

	if (!lm_is_power_of_two(page_size) || page_size < SMALLEST_PAGE || page_size > LARGEST_PAGE)
		return lm_error(-EINVAL, "trace: page size %zu is no power of two from %zu to %zu",
				page_size, SMALLEST_PAGE, LARGEST_PAGE);
	trace = calloc(1, sizeof(*trace));
	if (trace == NULL)
		return lm_error(-ENOMEM, "trace: out of memory");
	trace->page_size = page_size;
	*ret_trace = trace;
	return 0;
}

void lazymem_trace_destroy(struct lazymem_trace *trace)
{
	if (trace == NULL)
		return;
	free(trace->ranges);
	free(trace);
}

static int check_range(const struct lazymem_trace *trace, struct lazymem_guest_range range,
		       uint64_t *ret_total)
{
	uint64_t last;

	if (range.length == 0 || !lm_is_aligned(range.start.value, trace->page_size) ||
	    !lm_is_aligned(range.length, trace->page_size))
		return lm_error(-EINVAL,
				"trace: range [0x%" PRIx64 "+0x%" PRIx64
				"] is not in whole pages of %zu",
				range.start.value, range.length, trace->page_size);
	if (!lm_add(range.start.value, range.length - 1, &last))
		return lm_error(-EOVERFLOW,
				"trace: range [0x%" PRIx64 "+0x%" PRIx64
				"] goes past the end of the guest's address space",
				range.start.value, range.length);
	if (!lm_add(trace->length, range.length, ret_total))
		return lm_error(-EOVERFLOW,
				"trace: with range [0x%" PRIx64 "+0x%" PRIx64
				"] it is more than 2^64 bytes",
				range.start.value, range.length);
	return 0;
}

/* Make room for one more range. */
static int grow(struct lazymem_trace *trace)
{
	struct lazymem_guest_range *ranges;
	size_t capacity;

	if (trace->count < trace->capacity)
		return 0;
	capacity = trace->capacity != 0 ? trace->capacity * 2 : 64;
	ranges = reallocarray(trace->ranges, capacity, sizeof(*ranges));
	if (ranges == NULL)
		return lm_error(-ENOMEM, "trace: out of memory after %zu ranges", trace->count);
	trace->ranges = ranges;
	trace->capacity = capacity;
	return 0;
}

/* Does the range follow on the last one of the trace? A last one that ends at
 * 2^64 is followed by none. */
static bool is_next(const struct lazymem_trace *trace, struct lazymem_guest_range range)
{
	const struct lazymem_guest_range *last;
	uint64_t end;

	if (trace->count == 0)
		return false;
	last = &trace->ranges[trace->count - 1];
	return lm_add(last->start.value, last->length, &end) && end == range.start.value;
}

int lazymem_trace_append(struct lazymem_trace *trace, struct lazymem_guest_range range)
{
	uint64_t total = 0;
	int error = check_range(trace, range, &total);

	if (error != 0)
		return error;
	if (is_next(trace, range)) {
		/* cannot wrap: the total, which it is part of, did not */
		trace->ranges[trace->count - 1].length += range.length;
		trace->length = total;
		return 0;
	}
	error = grow(trace);
	if (error != 0)
		return error;
	trace->ranges[trace->count++] = range;
	trace->length = total;
	return 0;
}

size_t lazymem_trace_count(const struct lazymem_trace *trace)
{
	return trace->count;
}

struct lazymem_guest_range lazymem_trace_range(const struct lazymem_trace *trace, size_t index)
{
	return trace->ranges[index];
}

uint64_t lazymem_trace_length(const struct lazymem_trace *trace)
{
	return trace->length;
}

size_t lazymem_trace_page_size(const struct lazymem_trace *trace)
{
	return trace->page_size;
}

void lazymem_trace_bind(struct lazymem_trace *trace, const struct lazymem_identity *identity)
{
	trace->identity = *identity;
}

struct lazymem_identity lazymem_trace_identity(const struct lazymem_trace *trace)
{
	return trace->identity;
}
