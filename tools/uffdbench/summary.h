/* SPDX-License-Identifier: MIT
 *
 * summary.h - what several workloads come to together, for one engine: the
 * geometric means over the workloads of its ratios to other engines.
 */
#ifndef UFFDBENCH_SUMMARY_H
#define UFFDBENCH_SUMMARY_H

#include "report.h"

/* Below zero: not known, or the other engine did not run. */
struct summary {
	double wall_to_kernel;
	double wall_to_reap;
	double first_to_reap;
	double demand_p99_to_verified; /* of the touches that faults were for */
	double recorded_faults;        /* share of the recorded pages of all workloads */
};

struct summary summary_of(const struct report *report, const struct engine *engine);

/* Is there anything to sum up: more than one workload? */
bool summary_is_wanted(const struct report *report);

#endif
