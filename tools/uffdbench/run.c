/* SPDX-License-Identifier: MIT
 *
 * The order of things in a run:
 *   not timed  take and give back memory for it, bring the source into its
 *              state and prove that, start the touching threads
 *   timed      start the engine, touch every page, wait for what is filled in
 *              the background
 *   not timed  compare every page, stop the engine
 * The ballast is there because the host of a virtual machine hands out memory
 * slowly the first time.
 */
#include "run.h"
#include "clock.h"
#include "complain.h"
#include "toucher.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

struct usage {
	uint64_t cpu_ns;
	uint64_t faults;
	uint64_t context_switches;
	uint64_t device_bytes;
};

static uint64_t timeval_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_usec * 1000;
}

/* Bytes that this process had from devices so far; 0 where it is not told. */
static uint64_t read_device_bytes(void)
{
	FILE *file = fopen("/proc/self/io", "re");
	char line[128];
	uint64_t bytes = 0;

	if (file == NULL)
		return 0;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "read_bytes: %" SCNu64, &bytes) == 1)
			break;
	}
	fclose(file);
	return bytes;
}

static struct usage read_usage(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (struct usage){
		.cpu_ns = timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime),
		.faults = (uint64_t)(usage.ru_minflt + usage.ru_majflt),
		.context_switches = (uint64_t)(usage.ru_nvcsw + usage.ru_nivcsw),
		.device_bytes = read_device_bytes(),
	};
}

static void touch_ballast(size_t length)
{
	unsigned char *ballast =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ballast == MAP_FAILED)
		return;
	for (size_t at = 0; at < length; at += PAGE_BYTES)
		((volatile unsigned char *)ballast)[at] = 1;
	munmap(ballast, length);
}

/* Add what is there of one file. */
static int prove_file(const struct source_file *file, enum source source, struct run *run)
{
	uint64_t resident;
	bool proved;

	if (source_prove(file, source, &resident, &proved) != 0)
		return -1;
	run->resident_before += resident;
	run->source_pages += source_pages(file);
	run->proved &= proved;
	return 0;
}

/* The image, and the engine's own file. */
static int bring_source(const struct engine_context *context, enum source source, struct run *run)
{
	const struct source_file files[] = {image_file(context->image), context->own};
	size_t count = context->own.fd >= 0 ? 2 : 1;

	for (size_t i = 0; i < count; i++) {
		if (source_bring(&files[i], source) != 0)
			return -1;
	}
	run->proved = true;
	for (size_t i = 0; i < count; i++) {
		if (prove_file(&files[i], source, run) != 0)
			return -1;
	}
	if (!run->proved)
		complain("engine %s, run %u: the source is not %s: %" PRIu64 " of %" PRIu64
			 " pages are in the page cache",
			 run->engine->name, run->repeat, source_name(source), run->resident_before,
			 run->source_pages);
	return 0;
}

static int measure_touches(struct engine_context *context, struct toucher *toucher, struct run *run)
{
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t started_ns = clock_ns();

	if (context->engine->start(context) != 0)
		return -1;
	toucher_run(toucher, context->memory, &first_ns, &last_ns);
	run->first_ns = first_ns - started_ns;
	run->wall_ns = last_ns - started_ns;
	if (context->engine->settle == NULL)
		return 0;
	if (context->engine->settle(context) != 0)
		run->failed = true;
	run->complete_ns = clock_ns() - started_ns;
	return 0;
}

static void fill_in(struct run *run, const struct usage *before, const struct usage *after,
		    const struct engine_counters *counters)
{
	run->cpu_ns = after->cpu_ns - before->cpu_ns;
	run->context_switches = after->context_switches - before->context_switches;
	run->device_bytes = after->device_bytes - before->device_bytes;
	run->faults = counters->faults_known ? counters->faults : after->faults - before->faults;
	run->bytes_read = counters->bytes_known ? counters->bytes_read : run->device_bytes;
}

static void measure_with(struct engine_context *context, struct toucher *toucher, struct run *run)
{
	struct engine_counters counters = {0};
	struct usage before = read_usage();
	struct usage after;

	if (measure_touches(context, toucher, run) != 0) {
		run->failed = true;
		return;
	}
	after = read_usage();
	run->mismatches = toucher_count_mismatches(toucher);
	if (context->engine->stop(context, &counters) != 0)
		run->failed = true;
	fill_in(run, &before, &after, &counters);
	if (context->engine->needs_userfaultfd)
		run->demand = demand_measure(context, toucher, &counters);
	if (run->mismatches != 0)
		complain("engine %s, run %u: %" PRIu64 " of %" PRIu64
			 " pages are not as in the image",
			 run->engine->name, run->repeat, run->mismatches, run->pages);
}

static void measure_pinned(struct engine_context *context, const struct run_settings *settings,
			   uint64_t *samples, struct run *run)
{
	struct toucher_plan plan = {
		.workload = context->workload,
		.threads = settings->threads,
		.write = settings->write,
		.find_faults = context->engine->prefetches,
		.image = context->engine->has_source ? context->image : NULL,
		.cpu = settings->toucher_cpu,
		.samples = samples,
	};
	struct toucher *toucher;

	if (toucher_create(&plan, &toucher) != 0) {
		run->failed = true;
		return;
	}
	measure_with(context, toucher, run);
	toucher_destroy(toucher);
	if (!run->failed)
		run->latency = samples_summarize(samples, context->workload->touch_count);
}

void run_measure(struct engine_context *context, const struct run_settings *settings,
		 unsigned repeat, uint64_t *samples, struct run *ret_run)
{
	cpu_set_t before;
	struct run run = {
		.engine = context->engine,
		.workload = context->workload->name,
		.memory = context->workload->memory,
		.repeat = repeat,
		.pages = context->workload->touch_count,
		.recorded_pages = workload_recorded_touches(context->workload),
		.proved = true,
	};

	touch_ballast(context->workload->memory);
	if (context->engine->has_source && bring_source(context, settings->source, &run) != 0) {
		run.failed = true;
	} else {
		pin_enter(settings->toucher_cpu, &before);
		measure_pinned(context, settings, samples, &run);
		pin_leave(settings->toucher_cpu, &before);
	}
	*ret_run = run;
}

bool run_is_good(const struct run *run)
{
	return !run->failed && run->proved && run->mismatches == 0;
}
