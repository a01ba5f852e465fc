/* SPDX-License-Identifier: MIT */
#include "measurement_report.h"
#include "format.h"
#include "median.h"
#include "report_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_WIDTH 17
#define WIDTH 11

/* ---- for people ---- */

static bool counts(const struct measurement_run *run)
{
	return !run->failed && !run->absent;
}

/* Over the repeats; NAN when there is none. */
static double median(const struct measurement_report *report, size_t first, const char *way,
		     size_t column)
{
	double *values = calloc(report->run_count - first, sizeof(*values));
	double result = NAN;
	size_t count = 0;

	for (size_t i = first; values != NULL && i < report->run_count; i++) {
		const struct measurement_run *run = &report->runs[i];

		if (strcmp(run->way, way) == 0 && counts(run) && !isnan(run->values[column]))
			values[count++] = run->values[column];
	}
	if (count > 0)
		result = median_of(values, count);
	free(values);
	return result;
}

static struct cell with_suffix(struct cell cell, const char *suffix)
{
	const size_t length = strlen(cell.text);

	snprintf(cell.text + length, sizeof(cell.text) - length, "%s", suffix);
	return cell;
}

static struct cell format_signed_ns(double ns)
{
	struct cell cell = {"-"}, rest;

	if (ns >= 0)
		return format_ns(ns);
	rest = format_ns(-ns);
	memcpy(cell.text + 1, rest.text, sizeof(cell.text) - 2);
	return cell;
}

static struct cell format_value(double value, enum measurement_unit unit)
{
	if (isnan(value))
		return (struct cell){"-"};
	switch (unit) {
	case UNIT_NS:
		return format_signed_ns(value);
	case UNIT_BYTES:
		return format_bytes(value);
	case UNIT_RATE:
		return with_suffix(format_bytes(value), "/s");
	case UNIT_COUNT:
		return format_count(value);
	case UNIT_RATIO:
		break;
	}
	return format_ratio(value, 1);
}

static void put_verdict(const struct measurement_report *report, size_t first, const char *way)
{
	unsigned failed = 0, absent = 0;
	uint64_t wrong = 0;

	for (size_t i = first; i < report->run_count; i++) {
		const struct measurement_run *run = &report->runs[i];

		if (strcmp(run->way, way) != 0)
			continue;
		failed += run->failed;
		absent += run->absent;
		wrong += run->wrong;
	}
	if (failed > 0)
		printf("  %u FAILED", failed);
	if (wrong > 0)
		printf("  %" PRIu64 " WRONG", wrong);
	if (failed == 0 && wrong == 0)
		printf("  %s", absent > 0 ? "not with this kernel" : "ok");
	putchar('\n');
}

static void put_title(const struct measurement_report *report, const struct measurement_run *run)
{
	printf("\n%s: %s; %" PRIu64 " pages of %s %s; medians of %u\n", run->measurement->name,
	       run->measurement->summary, run->pages, format_bytes((double)run->memory).text,
	       run->measurement->does, report->repeats);
}

void measurement_report_table(const struct measurement_report *report, size_t first)
{
	const struct measurement *measurement = report->runs[first].measurement;
	const struct measurement_column *columns = measurement->columns;

	put_title(report, &report->runs[first]);
	printf("%-*s", NAME_WIDTH, "way");
	for (size_t i = 0; columns[i].key != NULL; i++)
		printf("%*s", WIDTH, columns[i].head);
	puts("  pages");
	for (size_t way = 0; measurement->ways[way] != NULL; way++) {
		const char *name = measurement->ways[way];

		printf("%-*s", NAME_WIDTH, name);
		for (size_t i = 0; columns[i].key != NULL; i++)
			format_put(format_value(median(report, first, name, i), columns[i].unit),
				   WIDTH);
		put_verdict(report, first, name);
	}
}

/* ---- for programs ---- */

static void put_run(struct json *json, const struct measurement_run *run)
{
	const struct measurement_column *columns = run->measurement->columns;

	json_open(json, NULL, '{');
	json_string(json, "measurement", run->measurement->name);
	json_string(json, "way", run->way);
	json_number(json, "repeat", run->repeat);
	json_number(json, "memory_bytes", run->memory);
	json_number(json, "pages", run->pages);
	for (size_t i = 0; columns[i].key != NULL; i++) {
		if (counts(run) && !isnan(run->values[i]))
			json_real(json, columns[i].key, run->values[i]);
		else
			json_null(json, columns[i].key);
	}
	json_number(json, "wrong", run->wrong);
	json_bool(json, "absent", run->absent);
	json_bool(json, "failed", run->failed);
	json_close(json, '}');
}

static void put_report(struct json *json, const void *context)
{
	const struct measurement_report *report = context;

	json_open(json, NULL, '{');
	report_machine(json, report->directory);
	json_open(json, "runs", '[');
	for (size_t i = 0; i < report->run_count; i++)
		put_run(json, &report->runs[i]);
	json_close(json, ']');
	json_close(json, '}');
}

int measurement_report_json(const struct measurement_report *report, const char *path)
{
	return report_file(path, put_report, report);
}
