/* SPDX-License-Identifier: MIT
 *
 * A ratio is the median of the ratios inside each repeat, so that what slows
 * the machine for a while slows both sides.
 */
#include "summary.h"
#include "median.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static uint64_t number_in(const struct run *run, size_t field)
{
	uint64_t number;

	memcpy(&number, (const char *)run + field, sizeof(number));
	return number;
}

/* The good run of another engine in the same turn; NULL when there is none. */
static const struct run *find_rival(const struct report *report, const struct run *run,
				    const char *engine)
{
	for (size_t i = 0; i < report->run_count; i++) {
		const struct run *other = &report->runs[i];

		if (strcmp(other->engine->name, engine) == 0 && other->repeat == run->repeat &&
		    strcmp(other->workload, run->workload) == 0 && !other->failed)
			return other;
	}
	return NULL;
}

/* On one workload. Below zero: none. */
static double median_ratio(const struct report *report, const struct engine *engine,
			   const char *rival, const char *workload, size_t field)
{
	double *ratios = calloc(report->run_count + 1, sizeof(*ratios));
	double median = -1;
	size_t count = 0;

	for (size_t i = 0; i < report->run_count && ratios != NULL; i++) {
		const struct run *run = &report->runs[i];
		const struct run *other;

		if (run->engine != engine || run->failed || strcmp(run->workload, workload) != 0)
			continue;
		other = find_rival(report, run, rival);
		if (other != NULL && number_in(run, field) > 0 && number_in(other, field) > 0)
			ratios[count++] =
				(double)number_in(run, field) / (double)number_in(other, field);
	}
	if (count > 0)
		median = median_of(ratios, count);
	free(ratios);
	return median;
}

/* The first run of the next workload after run `index`. */
static size_t next_workload(const struct report *report, size_t index)
{
	const char *name = report->runs[index].workload;

	while (index < report->run_count && strcmp(report->runs[index].workload, name) == 0)
		index++;
	return index;
}

static double mean_ratio(const struct report *report, const struct engine *engine,
			 const char *rival, size_t field)
{
	double sum = 0;
	unsigned count = 0;

	for (size_t i = 0; i < report->run_count; i = next_workload(report, i)) {
		double ratio = median_ratio(report, engine, rival, report->runs[i].workload, field);

		if (ratio <= 0)
			continue;
		sum += log(ratio);
		count++;
	}
	return count > 0 ? exp(sum / count) : -1;
}

static double share_of_recorded(const struct report *report, const struct engine *engine)
{
	uint64_t pages = 0;
	uint64_t faults = 0;

	for (size_t i = 0; i < report->run_count; i++) {
		const struct run *run = &report->runs[i];

		if (run->engine != engine || run->failed || !run->demand.known)
			continue;
		pages += run->recorded_pages;
		faults += run->demand.recorded_faults;
	}
	return pages > 0 ? (double)faults / (double)pages : -1;
}

struct summary summary_of(const struct report *report, const struct engine *engine)
{
	size_t wall = offsetof(struct run, wall_ns);

	return (struct summary){
		.wall_to_kernel = mean_ratio(report, engine, "kernel", wall),
		.wall_to_reap = mean_ratio(report, engine, "reap", wall),
		.first_to_reap = mean_ratio(report, engine, "reap", offsetof(struct run, first_ns)),
		.demand_p99_to_verified = mean_ratio(report, engine, "lazymem-verified",
						     offsetof(struct run, demand.latency.p99_ns)),
		.recorded_faults = share_of_recorded(report, engine),
	};
}

bool summary_is_wanted(const struct report *report)
{
	return report->run_count > 0 && next_workload(report, 0) < report->run_count;
}
