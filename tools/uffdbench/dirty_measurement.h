/* SPDX-License-Identifier: MIT
 *
 * dirty_measurement.h - what --dirty measures: each measurement has a few ways
 * to do one thing, which take turns, and a number for each of its columns.
 */
#ifndef UFFDBENCH_DIRTY_MEASUREMENT_H
#define UFFDBENCH_DIRTY_MEASUREMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIRTY_COLUMNS_MAX 8u
#define DIRTY_WAYS_MAX 8u

enum dirty_unit {
	DIRTY_NS,
	DIRTY_BYTES,
	DIRTY_RATE, /* bytes per second */
	DIRTY_COUNT,
	DIRTY_RATIO,
};

struct dirty_column {
	const char *key;  /* in JSON; NULL ends the columns */
	const char *head; /* in the table */
	enum dirty_unit unit;
};

/* One run of one way. */
struct dirty_run {
	const struct dirty_measurement *measurement;
	const char *way;
	unsigned repeat;                  /* from 1 on */
	uint64_t memory;                  /* bytes of the guest */
	uint64_t pages;                   /* that were written */
	double values[DIRTY_COLUMNS_MAX]; /* NAN: it has no such number */
	uint64_t wrong;                   /* pages that were told or held otherwise than written */
	bool failed;                      /* it gave up; the numbers mean nothing */
	bool absent;                      /* this kernel has no such way; likewise */
};

struct dirty_setting {
	uint64_t memory;
	const char *directory; /* for files */
};

struct dirty_measurement {
	const char *name;
	const char *summary;
	const char *const *ways; /* NULL ends them */
	const struct dirty_column *columns;

	/* What all runs share; both may be NULL. Below, results are 0, or -1 after
	 * a message. */
	int (*prepare)(const struct dirty_measurement *measurement,
		       const struct dirty_setting *setting, void **ret_state);
	void (*release)(void *state);

	/* Measure and check one way: pages, values and wrong. */
	int (*run)(void *state, const struct dirty_setting *setting, size_t way,
		   struct dirty_run *run);

	/* Compare the runs of one repeat, in the order of the ways; may be NULL. */
	void (*relate)(struct dirty_run *runs, size_t count);
	const void *variant; /* the measurement's own */
};

extern const struct dirty_measurement dirty_track;
extern const struct dirty_measurement dirty_sync_pages;
extern const struct dirty_measurement dirty_sync_runs;
extern const struct dirty_measurement dirty_moment;
extern const struct dirty_measurement post_copy_faults;
extern const struct dirty_measurement post_copy_stream;

#endif
