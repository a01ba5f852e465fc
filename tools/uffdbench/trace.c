/* SPDX-License-Identifier: MIT
 *
 * A recorded trace as a workload: its ranges are guest memory from address 0
 * on, and are touched page by page in their order.
 */
#include "trace.h"

#include "complain.h"
#include "trace_pages.h"

#include <lazymem/trace.h>

/* A trace without --memory runs on guest memory up to its last page, rounded
 * up to this. */
#define MEMORY_ROUNDING (2ull * 1024 * 1024)

static int choose_memory(const char *path, const struct lazymem_trace *trace, uint64_t *memory)
{
	uint64_t end;

	if (*memory != 0)
		return 0;
	if (trace_measure(path, trace, &end) != 0)
		return -1;
	*memory = (end + MEMORY_ROUNDING - 1) / MEMORY_ROUNDING * MEMORY_ROUNDING;
	return 0;
}

static int append_trace(const char *path, const struct lazymem_trace *trace,
			struct workload *workload)
{
	struct trace_pages pages;
	int result;

	if (choose_memory(path, trace, &workload->memory) != 0 ||
	    trace_pages_create(path, trace, workload->memory, &pages) != 0)
		return -1;
	result = workload_reserve(workload, pages.count, pages.count);
	for (size_t i = 0; i < pages.count && result == 0; i++)
		workload_append(workload, pages.offsets[i], true);
	trace_pages_destroy(&pages);
	return result;
}

int trace_create(const char *path, struct workload *workload)
{
	struct lazymem_trace *trace;
	int result;

	if (lazymem_trace_load(path, &trace) != 0) {
		complain("%s", lazymem_error_message());
		return -1;
	}
	workload->layout = PATTERN_DATA;
	result = append_trace(path, trace, workload);
	lazymem_trace_destroy(trace);
	return result;
}
