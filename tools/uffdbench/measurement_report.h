/* SPDX-License-Identifier: MIT
 *
 * measurement_report.h - what a suite has measured, for people and programs.
 */
#ifndef UFFDBENCH_MEASUREMENT_REPORT_H
#define UFFDBENCH_MEASUREMENT_REPORT_H

#include "measurement.h"

struct measurement_report {
	const char *directory; /* where files are made */
	unsigned repeats;
	struct measurement_run *runs; /* measurement by measurement, repeat by repeat */
	size_t run_count;
};

/* Print the runs from `first` on, all of one measurement: medians over repeats. */
void measurement_report_table(const struct measurement_report *report, size_t first);

/* 0, or -1 after a message. */
int measurement_report_json(const struct measurement_report *report, const char *path);

#endif
