/* SPDX-License-Identifier: MIT */
#include "demand.h"

static uint64_t count_recorded(const struct workload *workload, const unsigned char *faulted)
{
	uint64_t count = 0;

	for (size_t i = 0; i < workload->recorded_count; i++)
		count += faulted[workload->recorded[i] / PAGE_BYTES];
	return count;
}

static struct latency_summary summarize(const struct workload *workload,
					const struct toucher *toucher, const unsigned char *faulted)
{
	struct latency_summary summary = {0};
	uint64_t *samples = samples_create(workload->touch_count);
	size_t count = 0;

	if (samples == NULL)
		return summary;
	for (size_t i = 0; i < workload->touch_count; i++) {
		if (faulted[workload->touches[i].offset / PAGE_BYTES] != 0)
			samples[count++] = toucher_latency(toucher, i);
	}
	summary = samples_summarize(samples, count);
	samples_destroy(samples, workload->touch_count);
	return summary;
}

struct demand demand_measure(const struct workload *workload, const struct toucher *toucher,
			     const struct engine_counters *counters)
{
	struct demand demand = {.known = counters->faulted_known};

	if (!demand.known)
		return demand;
	demand.recorded_faults = count_recorded(workload, counters->faulted) + counters->late;
	demand.waited = counters->waited;
	demand.late = counters->late;
	demand.latency = summarize(workload, toucher, counters->faulted);
	return demand;
}
