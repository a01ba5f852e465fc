/* SPDX-License-Identifier: MIT */
#include "format.h"
#include "report.h"
#include "summary.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define NAME_WIDTH 17
#define WIDTH 9
#define WIDE 11
#define WIDEST 14

static void put_rate(const char *name, double bytes_per_second)
{
	struct cell cell = format_bytes(bytes_per_second);

	printf("  %-32s", name);
	if (bytes_per_second < 0)
		puts("not measured");
	else
		printf("%s/s\n", cell.text);
}

static void put_reads(const char *name, double per_second)
{
	printf("  %-32s", name);
	if (per_second < 0)
		puts("not measured");
	else
		printf("%s/s\n", format_count(per_second).text);
}

void report_calibration(const struct calibration *calibration)
{
	puts("calibration");
	printf("  %-32s%s\n", "clock", format_ns(calibration->clock_ns).text);
	printf("  %-32s%s\n", "floor, p50",
	       calibration->floor_p50_ns < 0 ? "not measured"
					     : format_ns(calibration->floor_p50_ns).text);
	put_rate("memcpy, warm", calibration->memcpy_bytes);
	put_reads("device, random 4 KiB, depth 1", calibration->random_depth1);
	put_reads("device, random 4 KiB, depth 32", calibration->random_depth32);
	put_rate("device, sequential 1 MiB", calibration->sequential_bytes);
}

/* A row of the table is about one engine on one workload. */
struct row {
	const struct report *report;
	const struct engine *engine;
	const char *workload;
};

#define MEDIAN(row, member)                                                                        \
	((double)report_median((row)->report, (row)->engine, (row)->workload,                      \
			       offsetof(struct run, member)))

/* The same number of another engine; 0 when that did not run. */
static double median_of(const struct row *row, const char *engine, size_t field)
{
	return (double)report_median(row->report, engine_find(engine), row->workload, field);
}

static void put_times(const struct row *row)
{
	double wall_ns = MEDIAN(row, wall_ns);
	double p50_ns = MEDIAN(row, latency.p50_ns);
	size_t p50 = offsetof(struct run, latency.p50_ns);

	printf("%-*s", NAME_WIDTH, row->engine->name);
	format_put(format_ns(MEDIAN(row, first_ns)), WIDTH);
	format_put(format_ns(wall_ns), WIDTH);
	format_put(format_ns(p50_ns), WIDTH);
	format_put(format_ns(MEDIAN(row, latency.p90_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, latency.p99_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, latency.p999_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, latency.max_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, latency.mean_ns)), WIDTH);
	format_put(format_ratio(p50_ns, median_of(row, "floor", p50)), WIDE);
	format_put(format_ratio(p50_ns, median_of(row, "naive", p50)), WIDE);
	format_put(format_ratio(wall_ns, median_of(row, "kernel", offsetof(struct run, wall_ns))),
		   WIDE);
	putchar('\n');
}

static void put_costs(const struct row *row)
{
	double pages = MEDIAN(row, pages);
	double wall_ns = MEDIAN(row, wall_ns);
	double complete_ns = MEDIAN(row, complete_ns);

	printf("%-*s", NAME_WIDTH, row->engine->name);
	format_put(format_count(MEDIAN(row, faults)), WIDTH);
	format_put(wall_ns > 0 ? format_count(pages * 1e9 / wall_ns) : (struct cell){"-"}, WIDTH);
	format_put(complete_ns > 0 ? format_ns(complete_ns) : (struct cell){"-"}, WIDTH);
	format_put(format_ns(MEDIAN(row, cpu_ns)), WIDTH);
	format_put(format_bytes(MEDIAN(row, bytes_read)), WIDE);
	format_put(format_bytes(MEDIAN(row, device_bytes)), WIDTH);
	format_put(format_count(MEDIAN(row, context_switches)), WIDTH);
	if (row->engine->has_source)
		format_put(format_count(MEDIAN(row, resident_before)), WIDTH);
	else
		format_put((struct cell){"-"}, WIDTH);
}

static struct cell format_share(double share)
{
	struct cell cell = {"-"};

	if (share >= 0)
		snprintf(cell.text, sizeof(cell.text), "%.1f %%", share * 100);
	return cell;
}

/* What an engine tells in the runs from `first` on; NULL: nothing. */
static const struct demand *demand_of(const struct report *report, const struct engine *engine,
				      size_t first)
{
	for (size_t i = first; i < report->run_count; i++) {
		if (report->runs[i].engine == engine && report->runs[i].demand.known)
			return &report->runs[i].demand;
	}
	return NULL;
}

static void put_demand(const struct row *row, bool waits_known)
{
	struct cell none = {"-"};

	printf("%-*s", NAME_WIDTH, row->engine->name);
	format_put(format_share(MEDIAN(row, demand.recorded_faults) / MEDIAN(row, recorded_pages)),
		   WIDTH);
	format_put(waits_known ? format_count(MEDIAN(row, demand.waited)) : none, WIDTH);
	format_put(waits_known ? format_count(MEDIAN(row, demand.late)) : none, WIDTH);
	format_put(format_ns(MEDIAN(row, demand.latency.p50_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, demand.latency.p99_ns)), WIDTH);
	format_put(format_ns(MEDIAN(row, demand.latency.max_ns)), WIDTH);
	putchar('\n');
}

/* What went wrong in the runs of this row, at its end. */
static void put_verdict(const struct row *row, size_t first)
{
	unsigned failed = 0;
	unsigned unproved = 0;
	uint64_t mismatches = 0;

	for (size_t i = first; i < row->report->run_count; i++) {
		const struct run *run = &row->report->runs[i];

		if (run->engine != row->engine)
			continue;
		failed += run->failed;
		unproved += !run->proved;
		mismatches += run->mismatches;
	}
	if (failed > 0)
		printf("  %u FAILED", failed);
	if (unproved > 0)
		printf("  %u NOT PROVED", unproved);
	if (mismatches > 0)
		printf("  %" PRIu64 " MISMATCHES", mismatches);
	if (failed == 0 && unproved == 0 && mismatches == 0)
		printf("  %s", row->engine->has_source ? "ok" : "no source");
	putchar('\n');
}

/* A head is as wide as its column. */
static int width_of(const char *head)
{
	size_t length = strlen(head);

	if (length < WIDTH)
		return WIDTH;
	return length < WIDE ? WIDE : WIDEST;
}

static void put_heads(const char *name, const char *const *heads)
{
	printf("%-*s", NAME_WIDTH, name);
	for (; *heads != NULL; heads++) {
		struct cell cell;

		snprintf(cell.text, sizeof(cell.text), "%s", *heads);
		format_put(cell, width_of(*heads));
	}
}

static void put_title(const struct report *report, const struct run *run)
{
	const struct options *options = report->options;

	printf("\n%s: %" PRIu64 " pages of %s, %s, %s, %u thread%s, pin %s; medians of %u\n",
	       run->workload, run->pages, format_bytes((double)run->memory).text,
	       source_name(options->source), options->write ? "write" : "read", options->threads,
	       options->threads == 1 ? "" : "s", pin_name(options->pin), options->repeat);
}

/* What was left to demand, of the engines that serve faults themselves. */
static void put_demands(const struct report *report, size_t first)
{
	static const char *const heads[] = {"recorded", "waited", "late", "p50",
					    "p99",      "max",    NULL};
	struct row row = {.report = report, .workload = report->runs[first].workload};
	bool begun = false;

	for (unsigned i = 0; i < report->options->engine_count; i++) {
		const struct demand *demand;

		row.engine = report->options->engines[i];
		demand = demand_of(report, row.engine, first);
		if (demand == NULL)
			continue;
		if (!begun) {
			putchar('\n');
			put_heads("on demand", heads);
			putchar('\n');
		}
		begun = true;
		put_demand(&row, demand->waits_known);
	}
}

static struct cell format_mean(double ratio)
{
	struct cell cell = {"-"};

	return ratio > 0 ? format_ratio(ratio, 1) : cell;
}

void report_summary(const struct report *report)
{
	static const char *const heads[] = {"wall/kern", "wall/reap",    "first/reap",
					    "recorded",  "p99/verified", NULL};

	if (!summary_is_wanted(report))
		return;
	puts("\nall workloads: geometric means");
	put_heads("engine", heads);
	putchar('\n');
	for (unsigned i = 0; i < report->options->engine_count; i++) {
		const struct engine *engine = report->options->engines[i];
		struct summary summary = summary_of(report, engine);

		printf("%-*s", NAME_WIDTH, engine->name);
		format_put(format_mean(summary.wall_to_kernel), WIDE);
		format_put(format_mean(summary.wall_to_reap), WIDE);
		format_put(format_mean(summary.first_to_reap), WIDE);
		format_put(format_share(summary.recorded_faults), WIDTH);
		format_put(format_mean(summary.demand_p99_to_verified), WIDEST);
		putchar('\n');
	}
}

void report_table(const struct report *report, size_t first)
{
	static const char *const times[] = {"first",     "wall",      "p50",       "p90",
					    "p99",       "p99.9",     "max",       "mean",
					    "p50/floor", "p50/naive", "wall/kern", NULL};
	static const char *const costs[] = {"faults", "pages/s",  "complete", "cpu", "bytes read",
					    "device", "switches", "resident", NULL};
	const struct options *options = report->options;
	struct row row = {.report = report, .workload = report->runs[first].workload};

	put_title(report, &report->runs[first]);
	put_heads("engine", times);
	putchar('\n');
	for (unsigned i = 0; i < options->engine_count; i++) {
		row.engine = options->engines[i];
		put_times(&row);
	}
	putchar('\n');
	put_heads("engine", costs);
	puts("  pages");
	for (unsigned i = 0; i < options->engine_count; i++) {
		row.engine = options->engines[i];
		put_costs(&row);
		put_verdict(&row, first);
	}
	put_demands(report, first);
}
