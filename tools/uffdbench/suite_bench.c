/* SPDX-License-Identifier: MIT */
#include "suite_bench.h"
#include "complain.h"
#include "directory.h"
#include "measurement_report.h"
#include "progress.h"
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct series {
	const struct options *options;
	struct measurement_setting setting;
	struct measurement_report report;
};

static size_t count_ways(const struct measurement *measurement)
{
	size_t count = 0;

	while (measurement->ways[count] != NULL)
		count++;
	return count;
}

static void say_wrong(const struct measurement_run *run)
{
	if (run->wrong > 0)
		complain("%s, %s, run %u: %llu pages are not what was written",
			 run->measurement->name, run->way, run->repeat,
			 (unsigned long long)run->wrong);
}

static void run_once(const struct series *series, const struct measurement *measurement,
		     void *state, size_t way, unsigned repeat, struct measurement_run *ret_run)
{
	struct measurement_run run = {
		.measurement = measurement,
		.way = measurement->ways[way],
		.repeat = repeat,
		.memory = series->setting.memory,
	};

	for (size_t i = 0; i < MEASUREMENT_COLUMNS_MAX; i++)
		run.values[i] = NAN;
	progress_show("%s: %s, run %u of %u", measurement->name, run.way, repeat,
		      series->options->repeat);
	run.failed = measurement->run(state, &series->setting, way, &run) != 0;
	say_wrong(&run);
	*ret_run = run;
}

/* A B C, A B C: what changes on the machine meanwhile hits all of them. */
static void interleave(struct series *series, const struct measurement *measurement, void *state)
{
	struct measurement_report *report = &series->report;
	const size_t ways = count_ways(measurement);

	for (unsigned repeat = 1; repeat <= series->options->repeat; repeat++) {
		struct measurement_run *runs = &report->runs[report->run_count];

		for (size_t way = 0; way < ways; way++)
			run_once(series, measurement, state, way, repeat, &runs[way]);
		report->run_count += ways;
		if (measurement->relate != NULL)
			measurement->relate(runs, ways);
	}
}

static int measure(struct series *series, const struct measurement *measurement)
{
	const size_t first = series->report.run_count;
	void *state = NULL;

	if (measurement->prepare(measurement, &series->setting, &state) != 0)
		return -1;
	interleave(series, measurement, state);
	progress_clear();
	measurement->release(state);
	measurement_report_table(&series->report, first);
	return fflush(stdout) == 0 ? 0 : -1;
}

static int measure_all(struct series *series)
{
	const struct options *options = series->options;
	int result = 0;

	for (unsigned i = 0; i < options->measurement_count; i++)
		result |= measure(series, options->measurements[i]);
	if (options->json != NULL && series->report.run_count > 0)
		result |= measurement_report_json(&series->report, options->json);
	for (size_t i = 0; i < series->report.run_count; i++) {
		if (series->report.runs[i].failed || series->report.runs[i].wrong > 0)
			result = -1;
	}
	return result;
}

static size_t count_runs(const struct options *options)
{
	size_t count = 0;

	for (unsigned i = 0; i < options->measurement_count; i++)
		count += options->repeat * count_ways(options->measurements[i]);
	return count;
}

int suite_bench(const struct options *options)
{
	char *directory = directory_choose(options);
	struct series series = {
		.options = options,
		.setting = {options->memory != 0 ? options->memory : options->suite->memory,
			    directory},
		.report = {.directory = directory, .repeats = options->repeat},
	};
	int result = -1;

	if (directory == NULL || (options->json != NULL && report_json_check(options->json) != 0))
		goto end;
	series.report.runs = calloc(count_runs(options), sizeof(*series.report.runs));
	if (series.report.runs != NULL)
		result = measure_all(&series);
	else
		complain("no memory");
end:
	free(series.report.runs);
	free(directory);
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}
