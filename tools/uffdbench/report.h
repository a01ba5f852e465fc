/* SPDX-License-Identifier: MIT
 *
 * report.h - everything that was measured, and the three forms it is told in.
 */
#ifndef UFFDBENCH_REPORT_H
#define UFFDBENCH_REPORT_H

#include "calibrate.h"
#include "options.h"
#include "run.h"

#include <stddef.h>
#include <stdint.h>

struct report {
	const struct options *options;
	const char *directory; /* where the image is */
	struct calibration calibration;
	struct run *runs; /* workload by workload, repeat by repeat */
	size_t run_count;
	struct histogram *latencies; /* one for each engine of the options */
};

/* Print. */
void report_calibration(const struct calibration *calibration);

/* Print the runs from `first` on, all of one workload: medians over repeats. */
void report_table(const struct report *report, size_t first);

/* Print what all workloads come to together, when there are several. */
void report_summary(const struct report *report);

/* Write JSON to the file at `path`. 0, or -1 after a message. */
int report_json(const struct report *report, const char *path);

/* Draw into `directory`, which report_plot_check has approved. 0, or -1 after
 * a message. */
int report_plot(const struct report *report, const char *directory);

/* Before anything is measured: can these be written when it is over? The
 * directory is made if it is not there. 0, or -1 after a message. */
int report_json_check(const char *path);
int report_plot_check(const char *directory);

/* The median over the repeats of one engine's good runs of one workload of the
 * number that lies `field` bytes into struct run; 0 when there are none. */
uint64_t report_median(const struct report *report, const struct engine *engine,
		       const char *workload, size_t field);

#endif
