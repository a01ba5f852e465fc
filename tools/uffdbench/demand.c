/* SPDX-License-Identifier: MIT
 *
 * An engine that prefetches has its faults found touch by touch. Without that,
 * every touch took a fault when the handler received as many as there were
 * touches, since no page is touched twice; and when it received fewer, because
 * zeros come many at a time, nobody knows which.
 */
#include "demand.h"

struct view {
	const struct workload *workload;
	const struct toucher *toucher;
	bool all; /* every touch took a fault */
};

static bool faulted(const struct view *view, size_t index)
{
	return view->all || toucher_faulted(view->toucher, index);
}

/* Both lists are in the order of touch. */
static uint64_t count_recorded(const struct view *view)
{
	const struct workload *workload = view->workload;
	uint64_t count = 0;
	size_t next = 0;

	for (size_t i = 0; i < workload->touch_count && next < workload->recorded_count; i++) {
		if (workload->touches[i].offset != workload->recorded[next])
			continue;
		count += faulted(view, i);
		next++;
	}
	return count;
}

static struct latency_summary summarize(const struct view *view)
{
	size_t touches = view->workload->touch_count;
	struct latency_summary summary = {0};
	uint64_t *samples = samples_create(touches);
	size_t count = 0;

	if (samples == NULL)
		return summary;
	for (size_t i = 0; i < touches; i++) {
		if (faulted(view, i))
			samples[count++] = toucher_latency(view->toucher, i);
	}
	summary = samples_summarize(samples, count);
	samples_destroy(samples, touches);
	return summary;
}

struct demand demand_measure(const struct engine_context *context, const struct toucher *toucher,
			     const struct engine_counters *counters)
{
	struct view view = {
		.workload = context->workload,
		.toucher = toucher,
		.all = counters->faults >= context->workload->touch_count,
	};

	if (!context->engine->prefetches && !view.all)
		return (struct demand){0};
	view.all &= !context->engine->prefetches;
	return (struct demand){
		.known = true,
		.recorded_faults = count_recorded(&view),
		.latency = summarize(&view),
		.waits_known = counters->waits_known,
		.waited = counters->waited,
		.late = counters->late,
	};
}
