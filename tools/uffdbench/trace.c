/* SPDX-License-Identifier: MIT
 *
 * A recorded trace as a workload: its ranges are guest memory from address 0
 * on, and are touched page by page in their order.
 */
#include "trace.h"

#include "complain.h"

#include <lazymem/trace.h>
#include <stdlib.h>

/* A trace without --memory runs on guest memory up to its last page, rounded
 * up to this; one that reaches further than the limit is refused, because its
 * image would be as long. */
#define MEMORY_ROUNDING (2ull * 1024 * 1024)
#define MEMORY_LIMIT (1ull << 40)

static int measure(const char *path, const struct lazymem_trace *trace, uint64_t *ret_end)
{
	uint64_t end = 0;

	if (lazymem_trace_count(trace) == 0) {
		complain("trace %s is empty", path);
		return -1;
	}
	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		if (range.start.value > MEMORY_LIMIT || range.length > MEMORY_LIMIT) {
			complain("trace %s reaches beyond 1 TiB", path);
			return -1;
		}
		if (range.start.value + range.length > end)
			end = range.start.value + range.length;
	}
	*ret_end = end;
	return 0;
}

/* A trace may name a page twice; only its first touch counts. */
static void append_once(struct workload *workload, unsigned char *seen, uint64_t offset)
{
	uint64_t page = offset / PAGE_BYTES;
	unsigned char bit = (unsigned char)(1u << (page % 8));

	if ((seen[page / 8] & bit) != 0)
		return;
	seen[page / 8] |= bit;
	workload_append(workload, offset, true);
}

static int append_ranges(const struct lazymem_trace *trace, struct workload *workload)
{
	unsigned char *seen = calloc(workload->memory / PAGE_BYTES / 8 + 1, 1);

	if (seen == NULL ||
	    workload_reserve(workload, lazymem_trace_length(trace) / PAGE_BYTES) != 0) {
		free(seen);
		return -1;
	}
	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		for (uint64_t at = 0; at < range.length; at += PAGE_BYTES)
			append_once(workload, seen, range.start.value + at);
	}
	free(seen);
	return 0;
}

static int fit_memory(const char *path, uint64_t end, struct workload *workload)
{
	if (workload->memory == 0)
		workload->memory = (end + MEMORY_ROUNDING - 1) / MEMORY_ROUNDING * MEMORY_ROUNDING;
	if (end <= workload->memory)
		return 0;
	complain("trace %s reaches up to byte %llu, beyond --memory %llu", path,
		 (unsigned long long)end, (unsigned long long)workload->memory);
	return -1;
}

int trace_create(const char *path, struct workload *workload)
{
	struct lazymem_trace *trace;
	uint64_t end;
	int result;

	if (lazymem_trace_load(path, &trace) != 0) {
		complain("%s", lazymem_error_message());
		return -1;
	}
	workload->layout = PATTERN_DATA;
	result = measure(path, trace, &end);
	if (result == 0)
		result = fit_memory(path, end, workload);
	if (result == 0)
		result = append_ranges(trace, workload);
	lazymem_trace_destroy(trace);
	return result;
}
