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
	bool recorded;     /* is it in the recorded set? */
};

struct workload {
	const char *name;           /* as on the command line */
	uint64_t memory;            /* bytes of guest memory */
	enum pattern_layout layout; /* of the image it runs on */
	struct touch *touches;      /* in order; every page at most once */
	size_t touch_count;
	uint64_t *recorded; /* the set that reap has recorded: offsets, in order of touch;
			     * of another run perhaps, which touched others too */
	size_t recorded_count;
};

/* Room for so many touches and recorded pages; 0, or -1 after a message. */
int workload_reserve(struct workload *workload, size_t touch_count, size_t recorded_count);

/* One page after the other: touched, recorded, or touched and perhaps recorded too. */
void workload_touch(struct workload *workload, uint64_t offset, bool recorded);
void workload_record(struct workload *workload, uint64_t offset);
void workload_append(struct workload *workload, uint64_t offset, bool recorded);

/* How many pages of the recorded set are touched. */
size_t workload_recorded_touches(const struct workload *workload);

/* Free the touches. */
void workload_destroy(struct workload *workload);

#endif
