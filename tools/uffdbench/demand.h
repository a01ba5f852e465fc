/* SPDX-License-Identifier: MIT
 *
 * demand.h - what of a run was left to demand: the pages that faults asked
 * for, and the touches that waited for that.
 */
#ifndef UFFDBENCH_DEMAND_H
#define UFFDBENCH_DEMAND_H

#include "engine.h"
#include "samples.h"
#include "toucher.h"

#include <stdbool.h>
#include <stdint.h>

struct demand {
	bool known;               /* the engine tells; else the numbers below mean nothing */
	uint64_t recorded_faults; /* recorded pages that a fault asked for, late ones included */
	uint64_t waited;          /* faults for a page that was being read already */
	uint64_t late;            /* faults for a page that had come meanwhile */
	struct latency_summary latency; /* of the touches whose page a fault asked for */
};

/* After the touches, and before the samples are sorted. */
struct demand demand_measure(const struct workload *workload, const struct toucher *toucher,
			     const struct engine_counters *counters);

#endif
