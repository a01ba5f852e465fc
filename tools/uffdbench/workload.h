/* SPDX-License-Identifier: MIT
 *
 * workload.h - which pages of a guest are touched, and in which order.
 */
#ifndef UFFDBENCH_WORKLOAD_H
#define UFFDBENCH_WORKLOAD_H

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

/* Is there a workload of this name? "functions" is not one: it names ten. */
bool workload_known(const char *name);

/* Make one. `memory` is a multiple of PAGE_BYTES; 0: the workload's own size.
 * 0, or -1 after a message. `name` is kept. */
int workload_create(const char *name, uint64_t memory, struct workload *ret_workload);
void workload_destroy(struct workload *workload);

/* For the files that make workloads: room for `count` touches and as many
 * recorded pages; then one touch after the other. */
int workload_reserve(struct workload *workload, size_t count);
void workload_append(struct workload *workload, uint64_t offset, bool recorded);

/* The ten functions of W1. NULL when index is not below their number. */
const char *functions_name(size_t index);
bool functions_known(const char *name);
int functions_create(const char *name, struct workload *workload);

/* trace:FILE. */
int trace_create(const char *path, struct workload *workload);

#endif
