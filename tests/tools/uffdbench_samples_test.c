/* SPDX-License-Identifier: MIT */
#include "samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void percentiles_are_nearest_ranks(void **state)
{
	uint64_t samples[1000];
	struct latency_summary summary;

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		samples[i] = 1000 - i;
	summary = samples_summarize(samples, 1000);
	assert_int_equal(summary.p50_ns, 500);
	assert_int_equal(summary.p90_ns, 900);
	assert_int_equal(summary.p99_ns, 990);
	assert_int_equal(summary.p999_ns, 999);
	assert_int_equal(summary.max_ns, 1000);
	assert_int_equal(summary.mean_ns, 500);
}

static void few_samples_have_percentiles(void **state)
{
	uint64_t samples[] = {30, 10, 20};
	struct latency_summary summary = samples_summarize(samples, 3);

	(void)state;
	assert_int_equal(summary.p50_ns, 20);
	assert_int_equal(summary.p90_ns, 30);
	assert_int_equal(summary.p999_ns, 30);
	assert_int_equal(samples_summarize(samples, 1).p50_ns, 10);
	assert_int_equal(samples_summarize(samples, 0).max_ns, 0);
}

/* The bucket that one sample went to. */
static unsigned bucket_of(uint64_t sample)
{
	struct histogram *histogram = calloc(1, sizeof(*histogram));
	unsigned bucket = 0;

	assert_non_null(histogram);
	histogram_add(histogram, &sample, 1);
	assert_int_equal(histogram->total, 1);
	while (bucket < HISTOGRAM_BUCKETS && histogram->counts[bucket] == 0)
		bucket++;
	free(histogram);
	return bucket;
}

static void buckets_hold_their_samples(void **state)
{
	(void)state;
	for (uint64_t sample = 0; sample < UINT64_MAX / 3; sample = sample * 3 / 2 + 1) {
		unsigned bucket = bucket_of(sample);

		assert_true(histogram_lower(bucket) <= sample);
		assert_true(sample < histogram_lower(bucket + 1));
	}
	assert_int_equal(bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(percentiles_are_nearest_ranks),
		cmocka_unit_test(few_samples_have_percentiles),
		cmocka_unit_test(buckets_hold_their_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
