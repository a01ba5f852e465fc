/* SPDX-License-Identifier: MIT
 *
 * The drawing is made in a temporary directory beside OUTPUT, and renamed.
 * Each range is a line from (bytes touched before, address) to (bytes touched
 * after, address behind it), and a dot, because most lines are too short to be
 * seen. Of very many ranges, evenly chosen ones are drawn: a drawing that no
 * viewer opens shows less.
 */
#include "commands.h"
#include "complain.h"
#include "gnuplot.h"
#include "interrupt.h"
#include "output_file.h"
#include "traces.h"
#include "writing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DRAWN_MOST 20000u
#define MIB (1024.0 * 1024)
#define DATA "trace.dat"
#define SCRIPT "plot.gnuplot"
#define DRAWING "trace.svg"

static const char script[] = "set terminal svg size 900,560 font 'sans,14' background '#ffffff'\n"
			     "set output '" DRAWING "'\n"
			     "set grid\n"
			     "unset key\n"
			     "set title 'First touches'\n"
			     "set xlabel 'touched before, MiB'\n"
			     "set ylabel 'guest address, MiB'\n"
			     "plot '" DATA "' using 1:2:3:4 with vectors nohead lw 2 lc 1, "
			     "'" DATA "' using 1:2 with points pt 7 ps 0.2 lc 1\n"
			     "unset output\n";

static void put_ranges(FILE *file, const struct lazymem_trace *trace)
{
	const size_t count = lazymem_trace_count(trace);
	const size_t step = (count + DRAWN_MOST - 1) / DRAWN_MOST;
	double before = 0;

	for (size_t i = 0; i < count; i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);
		const double length = (double)range.length / MIB;

		if (i % step == 0)
			fprintf(file, "%.6f %.6f %.6f %.6f\n", before,
				(double)range.start.value / MIB, length, length);
		before += length;
	}
}

static void put_script(FILE *file, const struct lazymem_trace *trace)
{
	(void)trace;
	fputs(script, file);
}

/* 0, or -1 after a message. */
static int write_file(const char *directory, const char *name,
		      void (*put)(FILE *file, const struct lazymem_trace *trace),
		      const struct lazymem_trace *trace)
{
	char *path = NULL;
	FILE *file = NULL;
	int result = -1;

	if (asprintf(&path, "%s/%s", directory, name) >= 0)
		file = fopen(path, "we");
	if (file != NULL) {
		put(file, trace);
		result = ferror(file) != 0 ? -1 : 0;
		result = fclose(file) == 0 ? result : -1;
	}
	if (result != 0)
		complain("%s/%s: %s", directory, name, strerror(errno));
	free(path);
	return result;
}

static void remove_directory(const char *directory)
{
	static const char *const names[] = {DATA, SCRIPT, DRAWING};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char *path;

		if (asprintf(&path, "%s/%s", directory, names[i]) < 0)
			continue;
		unlink(path);
		free(path);
	}
	rmdir(directory);
}

/* 0, or -1 after a message. */
static int draw(const struct lazymem_trace *trace, const char *directory, const char *output)
{
	char *drawing;
	int result;

	if (write_file(directory, DATA, put_ranges, trace) != 0 ||
	    write_file(directory, SCRIPT, put_script, trace) != 0)
		return -1;
	if (gnuplot_run(directory, SCRIPT) != 0) {
		complain("gnuplot failed on the trace");
		return -1;
	}
	if (asprintf(&drawing, "%s/" DRAWING, directory) < 0)
		return -1;
	result = rename(drawing, output);
	if (result != 0)
		complain("%s: %s", output, strerror(errno));
	free(drawing);
	return result;
}

static int plot(const struct lazymem_trace *trace, const char *output)
{
	char *directory = NULL;
	int result = -1;

	interrupt_defer();
	if (asprintf(&directory, "%s.XXXXXX", output) < 0 || mkdtemp(directory) == NULL) {
		complain("%s: %s", output, strerror(errno));
	} else {
		result = interrupt_came() ? -1 : draw(trace, directory, output);
		remove_directory(directory);
	}
	free(directory);
	if (result != 0)
		interrupt_deliver();
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

static int plot_file(const char *path, const char *output)
{
	struct lazymem_trace *trace;
	int status = EXIT_RUN_FAILED;

	if (gnuplot_run(".", "--version") != 0) {
		complain("trace plot needs gnuplot, which cannot be run: install it");
		return EXIT_RUN_FAILED;
	}
	trace = traces_load(path);
	if (trace == NULL)
		return EXIT_RUN_FAILED;
	if (lazymem_trace_count(trace) == 0)
		complain("%s: is an empty trace: there is nothing to draw", path);
	else if (output_file_check(output) == 0 && writing_check_distinct(output, path) == 0)
		status = plot(trace, output);
	lazymem_trace_destroy(trace);
	return status;
}

static int run(const struct command *command, int argc, char **argv)
{
	static const struct option long_options[] = {OPTION_TABLE_END};
	const int operand = arguments_parse(command, argc, argv, long_options, NULL, NULL, 2, 2);

	return plot_file(argv[operand], argv[operand + 1]);
}

const struct command command_trace_plot = {
	.name = "trace plot",
	.usage = "FILE OUTPUT.svg",
	.help = "Draw the guest addresses of FILE, a trace or a snapshot that has one, over the\n"
		"order of first touch. Needs gnuplot.\n"
		"\n"
		"  --help\n",
	.run = run,
};
