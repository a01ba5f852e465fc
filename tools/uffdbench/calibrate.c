/* SPDX-License-Identifier: MIT */
#include "calibrate.h"
#include "clock.h"
#include "progress.h"
#include "raw_userfaultfd.h"
#include "run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FLOOR_BYTES (16u * 1024 * 1024)
#define MEMCPY_BYTES (64u * 1024 * 1024)
#define MEMCPY_REPEATS 5
#define CLOCK_READINGS 100000u

static double measure_clock(void)
{
	uint64_t start = clock_ns();

	for (unsigned i = 0; i < CLOCK_READINGS; i++)
		(void)clock_ns();
	return (double)(clock_ns() - start) / CLOCK_READINGS;
}

/* The best of a few: the first one pays for faulting the memory in. */
static double measure_memcpy(void)
{
	unsigned char *from = malloc(MEMCPY_BYTES);
	unsigned char *to = malloc(MEMCPY_BYTES);
	uint64_t best_ns = UINT64_MAX;

	if (from == NULL || to == NULL) {
		free(from);
		free(to);
		return -1;
	}
	memset(from, 1, MEMCPY_BYTES);
	for (int i = 0; i < MEMCPY_REPEATS; i++) {
		uint64_t start = clock_ns();
		uint64_t ns;

		memcpy(to, from, MEMCPY_BYTES);
		__asm__ volatile("" : : "r"(to) : "memory");
		ns = clock_ns() - start;
		best_ns = ns < best_ns ? ns : best_ns;
	}
	free(from);
	free(to);
	return MEMCPY_BYTES * (double)NS_PER_SECOND / (double)best_ns;
}

static double run_floor(const struct workload *workload, struct pin_cpus cpus)
{
	struct engine_context context = {
		.engine = engine_find("floor"),
		.workload = workload,
		.cpus = cpus,
	};
	struct run_settings settings = {.threads = 1, .toucher_cpu = cpus.toucher};
	uint64_t *samples = samples_create(workload->touch_count);
	struct run run = {.failed = true};

	if (samples != NULL && context.engine->prepare(&context) == 0) {
		run_measure(&context, &settings, 1, samples, &run);
		context.engine->release(&context);
	}
	samples_destroy(samples, workload->touch_count);
	return run.failed ? -1 : (double)run.latency.p50_ns;
}

static double measure_floor(struct pin_cpus cpus)
{
	struct workload workload;
	double p50_ns;
	int fd;

	if (raw_userfaultfd_open(&fd) != 0)
		return -1;
	close(fd);
	if (workload_create("sequential", FLOOR_BYTES, &workload) != 0)
		return -1;
	p50_ns = run_floor(&workload, cpus);
	workload_destroy(&workload);
	return p50_ns;
}

struct calibration calibrate(const struct image *image, struct pin_cpus cpus)
{
	struct calibration calibration;

	progress_show("calibrating");
	calibration.clock_ns = measure_clock();
	calibration.floor_p50_ns = measure_floor(cpus);
	calibration.memcpy_bytes = measure_memcpy();
	calibrate_device(image, &calibration);
	progress_clear();
	return calibration;
}
