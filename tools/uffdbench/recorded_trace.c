/* SPDX-License-Identifier: MIT */
#include "recorded_trace.h"

static int append_recorded(const struct workload *workload, struct lazymem_trace *trace)
{
	for (size_t i = 0; i < workload->recorded_count; i++) {
		struct lazymem_guest_range page = {{workload->recorded[i]}, PAGE_BYTES};
		int error = lazymem_trace_append(trace, page);

		if (error != 0)
			return error;
	}
	return 0;
}

int recorded_trace(const struct workload *workload, struct lazymem_trace **ret_trace)
{
	struct lazymem_trace *trace;
	int error = lazymem_trace_create(PAGE_BYTES, &trace);

	if (error != 0)
		return error;
	error = append_recorded(workload, trace);
	if (error != 0)
		lazymem_trace_destroy(trace);
	else
		*ret_trace = trace;
	return error;
}
