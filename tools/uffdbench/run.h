/* SPDX-License-Identifier: MIT
 *
 * run.h - one measured run of one engine.
 */
#ifndef UFFDBENCH_RUN_H
#define UFFDBENCH_RUN_H

#include "demand.h"
#include "engine.h"
#include "samples.h"
#include "source.h"

#include <stdbool.h>
#include <stdint.h>

struct run_settings {
	enum source source;
	unsigned threads;
	bool write;
	int toucher_cpu; /* -1: anywhere */
};

/* What a run came to; the manual defines each number. */
struct run {
	const struct engine *engine;
	const char *workload;
	uint64_t memory;
	unsigned repeat;       /* from 1 on */
	bool failed;           /* the engine gave up; the numbers below mean nothing */
	bool proved;           /* the source was as it should be, or there is none */
	uint64_t source_pages; /* of the image and the engine's own file */
	uint64_t resident_before;
	uint64_t pages;
	uint64_t recorded_pages;
	uint64_t faults;
	uint64_t first_ns;
	uint64_t wall_ns;
	uint64_t complete_ns; /* 0: not everything was ever there */
	struct latency_summary latency;
	uint64_t cpu_ns;
	uint64_t bytes_read;
	uint64_t device_bytes;
	uint64_t context_switches;
	uint64_t mismatches;
	struct demand demand;
};

/* Measure. `samples` has room for every touch of the workload and is sorted
 * afterwards. ret_run->engine, workload and repeat are set here as well. */
void run_measure(struct engine_context *context, const struct run_settings *settings,
		 unsigned repeat, uint64_t *samples, struct run *ret_run);

/* Did it succeed in every respect? */
bool run_is_good(const struct run *run);

#endif
