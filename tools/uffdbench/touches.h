/* SPDX-License-Identifier: MIT
 *
 * touches.h - a workload: pages in the order in which they are touched.
 */
#ifndef UFFDBENCH_TOUCHES_H
#define UFFDBENCH_TOUCHES_H

#include "pattern.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One page, touched once. */
struct touch {
	uint64_t offset;   /* bytes, a multiple of PAGE_BYTES */
	uint64_t expected; /* its first word in the image */
};

struct workload {
	const char *name;           /* as on the command line */
	uint64_t memory;            /* bytes of guest memory */
	enum pattern_layout layout; /* of the image it runs on */
	struct touch *touches;      /* in order; every page at most once */
	size_t touch_count;
	uint64_t *recorded; /* the set that reap has recorded: offsets, in order of touch */
	size_t recorded_count;
};

/* Room for `count` touches and as many recorded pages, 0, or -1 after a message; then
 * one touch after the other. */
int workload_reserve(struct workload *workload, size_t count);
void workload_append(struct workload *workload, uint64_t offset, bool recorded);

/* Free the touches. */
void workload_destroy(struct workload *workload);

#endif
