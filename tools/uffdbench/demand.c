/* SPDX-License-Identifier: MIT
 *
 * An engine that prefetches has its faults found touch by touch. Some of these
 * never reach the handler, because the page comes while the kernel looks for
 * it; they take the least time. So of the touches that took a fault, as many as
 * the handler received, the slowest ones, are those that had to be served.
 *
 * Without a prefetch, every touch took a fault when the handler received as
 * many as there were touches, since no page is touched twice; and when it
 * received fewer, because zeros come many at a time, nobody knows which.
 */
#include "demand.h"

struct view {
	const struct workload *workload;
	const struct toucher *toucher;
	bool all;            /* every touch was served */
	uint64_t fastest_ns; /* else those that took a fault, and so long */
};

static bool was_served(const struct view *view, size_t index)
{
	return view->all || (toucher_faulted(view->toucher, index) &&
			     toucher_latency(view->toucher, index) >= view->fastest_ns);
}

static uint64_t count_recorded(const struct view *view)
{
	const struct workload *workload = view->workload;
	uint64_t count = 0;

	for (size_t i = 0; i < workload->touch_count; i++)
		count += workload->touches[i].recorded && was_served(view, i);
	return count;
}

static size_t collect(const struct view *view, uint64_t *samples)
{
	size_t count = 0;

	for (size_t i = 0; i < view->workload->touch_count; i++) {
		if (was_served(view, i))
			samples[count++] = toucher_latency(view->toucher, i);
	}
	return count;
}

/* Find the touches that were served. */
static void leave_out_fastest(struct view *view, uint64_t *samples, uint64_t served)
{
	size_t count = collect(view, samples);

	if (count <= served)
		return;
	samples_summarize(samples, count);
	view->fastest_ns = served > 0 ? samples[count - served] : UINT64_MAX;
}

struct demand demand_measure(const struct engine_context *context, const struct toucher *toucher,
			     const struct engine_counters *counters)
{
	const struct workload *workload = context->workload;
	struct view view = {.workload = workload, .toucher = toucher};
	struct demand demand = {0};
	uint64_t *samples;

	view.all = !context->engine->prefetches && counters->faults >= workload->touch_count;
	if (!context->engine->prefetches && !view.all)
		return demand;
	samples = samples_create(workload->touch_count);
	if (samples == NULL)
		return demand;
	leave_out_fastest(&view, samples, counters->faults);
	demand = (struct demand){
		.known = true,
		.recorded_faults = count_recorded(&view),
		.latency = samples_summarize(samples, collect(&view, samples)),
		.waits_known = counters->waits_known,
		.waited = counters->waited,
		.late = counters->late,
	};
	samples_destroy(samples, workload->touch_count);
	return demand;
}
