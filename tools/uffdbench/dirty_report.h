/* SPDX-License-Identifier: MIT
 *
 * dirty_report.h - what --dirty has measured, for people and programs.
 */
#ifndef UFFDBENCH_DIRTY_REPORT_H
#define UFFDBENCH_DIRTY_REPORT_H

#include "dirty_measurement.h"

struct dirty_report {
	const char *directory; /* where files are made */
	unsigned repeats;
	struct dirty_run *runs; /* measurement by measurement, repeat by repeat */
	size_t run_count;
};

/* Print the runs from `first` on, all of one measurement: medians over repeats. */
void dirty_report_table(const struct dirty_report *report, size_t first);

/* 0, or -1 after a message. */
int dirty_report_json(const struct dirty_report *report, const char *path);

#endif
