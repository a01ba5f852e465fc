/* SPDX-License-Identifier: MIT
 *
 * toucher.h - the threads that play the guest: each touches its share of the
 * pages in order, with the clock around every single access.
 */
#ifndef UFFDBENCH_TOUCHER_H
#define UFFDBENCH_TOUCHER_H

#include "image.h"
#include "workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct toucher;

struct toucher_plan {
	const struct workload *workload;
	unsigned threads;          /* thread i takes touches i, i + threads, ... */
	bool write;                /* store PATTERN_WRITTEN instead of loading */
	bool find_faults;          /* of the touches; else toucher_faulted means nothing */
	const struct image *image; /* to compare with; NULL: nothing is a mismatch */
	int cpu;                   /* where the threads run; -1: anywhere */
	uint64_t *samples;         /* one for each touch, in no particular order */
};

/* Start the threads; they wait. The calling thread is one of them. 0, or -1
 * after a message. `plan` is copied. */
int toucher_create(const struct toucher_plan *plan, struct toucher **ret_toucher);

/* Touch everything in guest memory at `memory`. When this returns, the first
 * touch of all was over at *ret_first_ns and the last one at *ret_last_ns. */
void toucher_run(struct toucher *toucher, unsigned char *memory, uint64_t *ret_first_ns,
		 uint64_t *ret_last_ns);

/* After toucher_run, and before the samples are sorted: how long touch `index`
 * of the workload took, in nanoseconds. */
uint64_t toucher_latency(const struct toucher *toucher, size_t index);

/* After toucher_run: did that touch take a page fault? Only faults of a
 * microsecond and more are found: those that somebody else resolved. */
bool toucher_faulted(const struct toucher *toucher, size_t index);

/* After toucher_run: compare all of every touched page, and count the pages
 * that were wrong when touched, or are now. */
uint64_t toucher_count_mismatches(struct toucher *toucher);

/* Also for one that never ran. NULL is allowed. */
void toucher_destroy(struct toucher *toucher);

#endif
