/* SPDX-License-Identifier: MIT
 *
 * demand.h - what of a run was left to demand: the touches whose fault the
 * handler served, and the pages of the recorded set among them.
 */
#ifndef UFFDBENCH_DEMAND_H
#define UFFDBENCH_DEMAND_H

#include "engine.h"
#include "samples.h"
#include "toucher.h"

#include <stdbool.h>
#include <stdint.h>

struct demand {
	bool known;                     /* which touches were served */
	uint64_t recorded_faults;       /* touches of recorded pages that were served */
	struct latency_summary latency; /* of all touches that were served */
	bool waits_known;               /* the engine tells the two numbers below */
	uint64_t waited;                /* faults for a page that was being read already */
	uint64_t late;                  /* faults for a page that had come meanwhile */
};

/* After the touches, and before the samples are sorted. */
struct demand demand_measure(const struct engine_context *context, const struct toucher *toucher,
			     const struct engine_counters *counters);

#endif
