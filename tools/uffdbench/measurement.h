/* SPDX-License-Identifier: MIT
 *
 * measurement.h - what a suite measures: each measurement has a few ways to do one
 * thing, which take turns, and a number for each of its columns.
 */
#ifndef UFFDBENCH_MEASUREMENT_H
#define UFFDBENCH_MEASUREMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEASUREMENT_COLUMNS_MAX 8u

enum measurement_unit {
	UNIT_NS,
	UNIT_BYTES,
	UNIT_RATE, /* bytes per second */
	UNIT_COUNT,
	UNIT_RATIO,
};

struct measurement_column {
	const char *key;  /* in JSON; NULL ends the columns */
	const char *head; /* in the table */
	enum measurement_unit unit;
};

/* One run of one way. */
struct measurement_run {
	const struct measurement *measurement;
	const char *way;
	unsigned repeat;                        /* from 1 on */
	uint64_t memory;                        /* bytes of the guest */
	uint64_t pages;                         /* that it was about */
	double values[MEASUREMENT_COLUMNS_MAX]; /* NAN: it has no such number */
	uint64_t wrong; /* pages that were told or held otherwise than they were */
	bool failed;    /* it gave up; the numbers mean nothing */
	bool absent;    /* this kernel has no such way; likewise */
};

struct measurement_setting {
	uint64_t memory;
	const char *directory; /* for files */
};

struct measurement {
	const char *name;
	const char *summary;
	const char *does;        /* what happens to its pages: "written" */
	const char *const *ways; /* NULL ends them */
	const struct measurement_column *columns;

	/* What all runs share; both may be NULL. Below, results are 0, or -1 after
	 * a message. */
	int (*prepare)(const struct measurement *measurement,
		       const struct measurement_setting *setting, void **ret_state);
	void (*release)(void *state);

	/* Measure and check one way: pages, values and wrong. */
	int (*run)(void *state, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run);

	/* Compare the runs of one repeat, in the order of the ways; may be NULL. */
	void (*relate)(struct measurement_run *runs, size_t count);
	const void *variant; /* the measurement's own */
};

extern const struct measurement dirty_track;
extern const struct measurement dirty_sync_pages;
extern const struct measurement dirty_sync_runs;
extern const struct measurement dirty_moment;
extern const struct measurement post_copy_faults;
extern const struct measurement post_copy_stream;

#endif
