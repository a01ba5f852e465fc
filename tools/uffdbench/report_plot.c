/* SPDX-License-Identifier: MIT
 *
 * Two drawings, by gnuplot: how the latencies of every engine are distributed,
 * and how long each engine took for each workload. The data and the script
 * stay in the directory, so that they can be drawn again in another way.
 */
#include "complain.h"
#include "gnuplot.h"
#include "report.h"
#include "writable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SCRIPT "plot.gnuplot"
#define CDF_DATA "cdf.dat"
#define TOTALS_DATA "totals.dat"

/* fopen in the directory; NULL after a message. */
static FILE *open_in(const char *directory, const char *name)
{
	FILE *file = NULL;
	char *path;

	if (asprintf(&path, "%s/%s", directory, name) < 0)
		return NULL;
	file = fopen(path, "we");
	if (file == NULL)
		complain("--plot: %s: %s", path, strerror(errno));
	free(path);
	return file;
}

static int close_checked(FILE *file, const char *directory)
{
	int failed = ferror(file);

	if (fclose(file) == 0 && failed == 0)
		return 0;
	complain("--plot %s: %s", directory, strerror(errno));
	return -1;
}

/* One block for each engine: microseconds, and the share of touches that took
 * at most as long. */
static void put_cdf(FILE *file, const struct histogram *histogram, const char *engine)
{
	uint64_t so_far = 0;

	fprintf(file, "# %s\n", engine);
	for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		if (histogram->counts[i] == 0)
			continue;
		so_far += histogram->counts[i];
		fprintf(file, "%.4f %.7f\n", (double)histogram_lower(i + 1) / 1e3,
			(double)so_far / (double)histogram->total);
	}
	/* gnuplot would count an empty block out and draw the others under the
	 * wrong names. */
	if (so_far == 0)
		fputs("NaN NaN\n", file);
	fputs("\n\n", file);
}

static int write_cdf(const struct report *report, const char *directory)
{
	FILE *file = open_in(directory, CDF_DATA);

	if (file == NULL)
		return -1;
	for (unsigned i = 0; i < report->options->engine_count; i++)
		put_cdf(file, &report->latencies[i], report->options->engines[i]->name);
	return close_checked(file, directory);
}

/* One line for each workload, one column for each engine, milliseconds. */
static void put_totals(FILE *file, const struct report *report, const char *workload)
{
	const struct options *options = report->options;

	fprintf(file, "\"%s\"", strncmp(workload, "trace:", 6) == 0 ? "trace" : workload);
	for (unsigned i = 0; i < options->engine_count; i++)
		fprintf(file, " %.3f",
			(double)report_median(report, options->engines[i], workload,
					      offsetof(struct run, wall_ns)) /
				1e6);
	fputc('\n', file);
}

static int write_totals(const struct report *report, const char *directory)
{
	FILE *file = open_in(directory, TOTALS_DATA);
	const char *workload = "";

	if (file == NULL)
		return -1;
	fputs("# workload", file);
	for (unsigned i = 0; i < report->options->engine_count; i++)
		fprintf(file, " %s", report->options->engines[i]->name);
	fputc('\n', file);
	for (size_t i = 0; i < report->run_count; i++) {
		if (strcmp(report->runs[i].workload, workload) == 0)
			continue;
		workload = report->runs[i].workload;
		put_totals(file, report, workload);
	}
	return close_checked(file, directory);
}

static void put_cdf_script(FILE *file, const struct options *options)
{
	fputs("set terminal svg size 900,560 font 'sans,14' background '#ffffff'\n"
	      "set key noenhanced right bottom\n"
	      "set grid\n"
	      "set output 'cdf.svg'\n"
	      "set title 'Latency of a touch'\n"
	      "set logscale x\n"
	      "set format x '%g'\n"
	      "set xlabel 'microseconds'\n"
	      "set ylabel 'share of touches'\n"
	      "set yrange [0:1]\n"
	      "plot ",
	      file);
	for (unsigned i = 0; i < options->engine_count; i++)
		fprintf(file, "%s'" CDF_DATA "' index %u with steps lw 2 title '%s'",
			i > 0 ? ", \\\n     " : "", i, options->engines[i]->name);
	fputs("\nunset output\nreset\n", file);
}

static void put_totals_script(FILE *file, const struct options *options)
{
	fputs("set output 'totals.svg'\n"
	      "set title 'Time until the last touch'\n"
	      "set style data histograms\n"
	      "set style histogram clustered gap 1\n"
	      "set style fill solid 0.8\n"
	      "set key noenhanced outside right top\n"
	      "set grid ytics\n"
	      "set logscale y\n"
	      "set ylabel 'milliseconds'\n"
	      "set xtics noenhanced rotate by 30 right\n"
	      "plot ",
	      file);
	for (unsigned i = 0; i < options->engine_count; i++)
		fprintf(file, "%s'" TOTALS_DATA "' using %u:xtic(1) title '%s'",
			i > 0 ? ", \\\n     " : "", i + 2, options->engines[i]->name);
	fputs("\nunset output\n", file);
}

static int write_script(const struct options *options, const char *directory)
{
	FILE *file = open_in(directory, SCRIPT);

	if (file == NULL)
		return -1;
	put_cdf_script(file, options);
	put_totals_script(file, options);
	return close_checked(file, directory);
}

int report_plot_check(const char *directory)
{
	struct stat status;
	char *path;
	int result;

	if (gnuplot_run(".", "--version") != 0) {
		complain("--plot needs gnuplot, which cannot be run: install it, "
			 "or leave --plot out");
		return -1;
	}
	if (mkdir(directory, 0777) != 0 && errno != EEXIST) {
		complain("--plot %s cannot be made: %s", directory, strerror(errno));
		return -1;
	}
	if (stat(directory, &status) == 0 && !S_ISDIR(status.st_mode)) {
		complain("--plot %s is no directory", directory);
		return -1;
	}
	if (asprintf(&path, "%s/%s", directory, SCRIPT) < 0)
		return -1;
	result = writable_check("--plot", path);
	free(path);
	return result;
}

int report_plot(const struct report *report, const char *directory)
{
	if (write_cdf(report, directory) != 0 || write_totals(report, directory) != 0 ||
	    write_script(report->options, directory) != 0)
		return -1;
	if (gnuplot_run(directory, SCRIPT) == 0)
		return 0;
	complain("--plot: gnuplot failed on %s/" SCRIPT, directory);
	return -1;
}
