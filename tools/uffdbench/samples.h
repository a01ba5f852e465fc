/* SPDX-License-Identifier: MIT
 *
 * samples.h - one latency for each touch, and what is told of them.
 */
#ifndef UFFDBENCH_SAMPLES_H
#define UFFDBENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

/* Nanoseconds. A percentile is the smallest sample that at least that share of
 * all samples does not exceed: exact, of all of them. */
struct latency_summary {
	uint64_t p50_ns;
	uint64_t p90_ns;
	uint64_t p99_ns;
	uint64_t p999_ns;
	uint64_t max_ns;
	uint64_t mean_ns;
};

/* Memory for `count` samples that is there already, so that storing one takes
 * no page fault; NULL, after a message, when there is not enough. */
uint64_t *samples_create(size_t count);
void samples_destroy(uint64_t *samples, size_t count);

/* Sort the samples and sum them up. */
struct latency_summary samples_summarize(uint64_t *samples, size_t count);

/* Many runs' samples for drawing: 32 buckets an octave. */
#define HISTOGRAM_BUCKETS 1920u

struct histogram {
	uint64_t total;
	uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, const uint64_t *samples, size_t count);

/* The lower end of a bucket, in nanoseconds. */
uint64_t histogram_lower(unsigned bucket);

#endif
