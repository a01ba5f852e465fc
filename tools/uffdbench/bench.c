/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "complain.h"
#include "directory.h"
#include "progress.h"
#include "recorded_trace.h"
#include "report.h"
#include "workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
	const struct options *options;
	char *directory;
	struct pin_cpus cpus;
	struct image image; /* of the workload at hand */
	struct report report;
	size_t capacity; /* of report.runs */
};

/* The image of the workload before serves again if it is the same. */
static int open_image(struct bench *bench, const struct workload *workload)
{
	const struct options *options = bench->options;
	struct source_file file;
	int result;

	if (bench->image.fd >= 0 && bench->image.length == workload->memory &&
	    bench->image.layout == workload->layout)
		return 0;
	image_close(&bench->image);
	if (options->guest_image != NULL)
		result = image_open_given(options->guest_image, workload->memory, &bench->image);
	else if (options->image != NULL)
		result = image_open(options->image, workload->memory, workload->layout,
				    &bench->image);
	else
		result = image_create(bench->directory, workload->memory, workload->layout,
				      &bench->image);
	if (result != 0)
		return -1;
	file = image_file(&bench->image);
	return source_check(&file, options->source);
}

/* Once, on the image of the first workload. */
static void calibrate_first(struct bench *bench)
{
	if (bench->report.run_count > 0)
		return;
	bench->report.calibration = calibrate(&bench->image, bench->cpus);
	report_calibration(&bench->report.calibration);
}

static int prepare_engines(struct bench *bench, const struct workload *workload,
			   struct engine_context *contexts)
{
	for (unsigned i = 0; i < bench->options->engine_count; i++) {
		contexts[i] = (struct engine_context){
			.engine = bench->options->engines[i],
			.workload = workload,
			.image = &bench->image,
			.directory = bench->directory,
			.cpus = bench->cpus,
			.own = {.fd = -1},
		};
		if (contexts[i].engine->prepare != NULL &&
		    contexts[i].engine->prepare(&contexts[i]) != 0)
			return -1;
	}
	return 0;
}

static void release_engines(const struct bench *bench, struct engine_context *contexts)
{
	for (unsigned i = 0; i < bench->options->engine_count; i++) {
		if (contexts[i].engine != NULL && contexts[i].engine->release != NULL)
			contexts[i].engine->release(&contexts[i]);
	}
}

static struct run *next_run(struct bench *bench)
{
	struct report *report = &bench->report;

	if (report->run_count == bench->capacity) {
		size_t capacity = bench->capacity * 2 + 64;
		struct run *runs = realloc(report->runs, capacity * sizeof(*runs));

		if (runs == NULL) {
			complain("no memory for %zu runs", capacity);
			return NULL;
		}
		report->runs = runs;
		bench->capacity = capacity;
	}
	return &report->runs[report->run_count];
}

static int run_once(struct bench *bench, struct engine_context *context, unsigned index,
		    unsigned repeat, uint64_t *samples)
{
	const struct options *options = bench->options;
	struct run_settings settings = {
		.source = options->source,
		.threads = options->threads,
		.write = options->write,
		.toucher_cpu = bench->cpus.toucher,
	};
	struct run *run = next_run(bench);

	if (run == NULL)
		return -1;
	progress_show("[%u/%u] %s: %s, run %u of %u",
		      (repeat - 1) * options->engine_count + index + 1,
		      options->repeat * options->engine_count, context->workload->name,
		      context->engine->name, repeat, options->repeat);
	run_measure(context, &settings, repeat, samples, run);
	if (!run->failed)
		histogram_add(&bench->report.latencies[index], samples,
			      context->workload->touch_count);
	bench->report.run_count++;
	return 0;
}

/* A B C, A B C: what changes on the machine meanwhile hits all of them. */
static int interleave(struct bench *bench, struct engine_context *contexts, uint64_t *samples)
{
	for (unsigned repeat = 1; repeat <= bench->options->repeat; repeat++) {
		for (unsigned i = 0; i < bench->options->engine_count; i++) {
			if (run_once(bench, &contexts[i], i, repeat, samples) != 0)
				return -1;
		}
	}
	return 0;
}

static int run_engines(struct bench *bench, const struct workload *workload)
{
	struct engine_context contexts[OPTIONS_ENGINES_MAX] = {0};
	size_t first = bench->report.run_count;
	uint64_t *samples = samples_create(workload->touch_count);
	int result = -1;

	if (samples != NULL && prepare_engines(bench, workload, contexts) == 0)
		result = interleave(bench, contexts, samples);
	progress_clear();
	release_engines(bench, contexts);
	samples_destroy(samples, workload->touch_count);
	if (result == 0)
		report_table(&bench->report, first);
	return result;
}

static int run_workload(struct bench *bench, const char *name)
{
	struct workload workload;
	uint64_t memory = bench->options->memory;
	int result = -1;

	if (memory == 0 && bench->options->guest_image != NULL &&
	    image_measure(bench->options->guest_image, &memory) != 0)
		return -1;
	if (workload_create(name, memory, &workload) != 0)
		return -1;
	if (open_image(bench, &workload) == 0 && image_fit(&bench->image, &workload) == 0) {
		calibrate_first(bench);
		result = run_engines(bench, &workload);
	}
	workload_destroy(&workload);
	return result;
}

static int run_workloads(struct bench *bench)
{
	const char *name;

	for (size_t i = 0; (name = workload_member(bench->options->workload, i)) != NULL; i++) {
		if (run_workload(bench, name) != 0)
			return -1;
	}
	return 0;
}

static int write_reports(const struct bench *bench)
{
	const struct options *options = bench->options;
	int result = 0;

	if (bench->report.run_count == 0)
		return 0;
	if (options->json != NULL)
		result |= report_json(&bench->report, options->json);
	if (options->plot != NULL)
		result |= report_plot(&bench->report, options->plot);
	for (size_t i = 0; i < bench->report.run_count; i++) {
		if (!run_is_good(&bench->report.runs[i]))
			result = -1;
	}
	return result;
}

static int check_outputs(const struct options *options)
{
	if (options->json != NULL && report_json_check(options->json) != 0)
		return -1;
	return options->plot != NULL ? report_plot_check(options->plot) : 0;
}

static int create(const struct options *options, struct bench *ret_bench)
{
	struct bench bench = {.options = options, .image = {.fd = -1}};

	if (pin_choose(options->pin, &bench.cpus) != 0)
		return -1;
	bench.directory = directory_choose(options);
	bench.report.options = options;
	bench.report.directory = bench.directory;
	bench.report.latencies = calloc(options->engine_count, sizeof(*bench.report.latencies));
	if (bench.directory == NULL)
		return -1;
	if (bench.report.latencies == NULL) {
		complain("no memory");
		return -1;
	}
	*ret_bench = bench;
	return 0;
}

static void destroy(struct bench *bench)
{
	image_close(&bench->image);
	free(bench->report.latencies);
	free(bench->report.runs);
	free(bench->directory);
}

int bench(const struct options *options)
{
	struct bench state;
	int result;

	if (check_outputs(options) != 0 || create(options, &state) != 0)
		return EXIT_RUN_FAILED;
	/* What was measured before a failure is worth keeping. */
	result = run_workloads(&state);
	report_summary(&state.report);
	result |= write_reports(&state);
	destroy(&state);
	if (fflush(stdout) != 0) {
		complain("cannot write to standard output");
		result = -1;
	}
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

int bench_make_image(const struct options *options)
{
	const char *name = workload_member(options->workload, 0);
	struct workload workload;
	int result;

	if (workload_create(name, options->memory, &workload) != 0)
		return EXIT_RUN_FAILED;
	result = image_make(options->make_image, workload.memory, workload.layout);
	workload_destroy(&workload);
	return result == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}

int bench_make_trace(const struct options *options)
{
	const char *name = workload_member(options->workload, 0);
	struct lazymem_trace *trace = NULL;
	struct workload workload;
	int error;

	if (workload_create(name, options->memory, &workload) != 0)
		return EXIT_RUN_FAILED;
	error = recorded_trace(&workload, &trace);
	if (error == 0)
		error = lazymem_trace_save(trace, options->make_trace);
	if (error != 0)
		complain("%s", lazymem_error_message());
	lazymem_trace_destroy(trace);
	workload_destroy(&workload);
	return error == 0 ? EXIT_SUCCESS : EXIT_RUN_FAILED;
}
