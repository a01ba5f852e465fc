/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

uint64_t report_median(const struct report *report, const struct engine *engine,
		       const char *workload, size_t field)
{
	uint64_t *values = calloc(report->run_count + 1, sizeof(*values));
	uint64_t median = 0;
	size_t count = 0;

	for (size_t i = 0; i < report->run_count && values != NULL; i++) {
		const struct run *run = &report->runs[i];

		if (run->engine != engine || run->failed || strcmp(run->workload, workload) != 0)
			continue;
		memcpy(&values[count++], (const char *)run + field, sizeof(*values));
	}
	if (count > 0) {
		qsort(values, count, sizeof(*values), compare);
		median = values[(count - 1) / 2] / 2 + values[count / 2] / 2 +
			 (values[(count - 1) / 2] % 2 + values[count / 2] % 2) / 2;
	}
	free(values);
	return median;
}
