/* SPDX-License-Identifier: MIT
 *
 * statistics_test.c - the histogram against its definition in handler.h, the
 * quantiles, and the way of every counter to its field.
 */
/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uffd/statistics.h"

#include <math.h>
#include <string.h>

/* lower(i) as handler.h says. */
static uint64_t lower(size_t bucket)
{
	return bucket < 8 ? bucket : (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

/* The bucket that one latency is counted in. */
static size_t bucket_of(uint64_t ns)
{
	struct lm_statistics statistics;
	struct lazymem_statistics out = {.size = sizeof(out)};
	size_t found = LAZYMEM_HISTOGRAM_BUCKETS;

	memset(&statistics, 0, sizeof(statistics));
	lm_statistics_latency(&statistics, ns);
	lm_statistics_read(&statistics, &out);
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++) {
		if (out.latency[i] == 0)
			continue;
		assert_int_equal(out.latency[i], 1);
		assert_int_equal(found, LAZYMEM_HISTOGRAM_BUCKETS); /* in one only */
		found = i;
	}
	assert_true(found < LAZYMEM_HISTOGRAM_BUCKETS);
	return found;
}

static void assert_in_its_bucket(uint64_t ns)
{
	size_t bucket = bucket_of(ns);

	if (ns < lower(bucket) ||
	    (bucket < LAZYMEM_HISTOGRAM_BUCKETS - 1 && ns >= lower(bucket + 1)))
		fail_msg("%llu ns are counted in bucket %zu", (unsigned long long)ns, bucket);
}

static void powers_of_two_and_their_neighbours_are_in_their_buckets(void **state)
{
	(void)state;
	for (unsigned shift = 0; shift < 64; shift++) {
		assert_in_its_bucket((UINT64_C(1) << shift) - 1);
		assert_in_its_bucket(UINT64_C(1) << shift);
		assert_in_its_bucket((UINT64_C(1) << shift) + 1);
	}
}

static void every_bucket_begins_where_it_should(void **state)
{
	(void)state;
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++) {
		assert_int_equal(bucket_of(lower(i)), i);
		if (i > 0)
			assert_int_equal(bucket_of(lower(i) - 1), i - 1);
	}
}

static void longest_latency_is_in_the_last_bucket(void **state)
{
	(void)state;
	assert_int_equal(bucket_of(UINT64_MAX), LAZYMEM_HISTOGRAM_BUCKETS - 1);
}

/* ---- quantiles ----------------------------------------------------------- */

/* `many` faults of 1000 ns, then `few` of 1000000 ns. */
static struct lazymem_statistics two_kinds(uint64_t many, uint64_t few)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};

	statistics.latency[bucket_of(1000)] = many;
	statistics.latency[bucket_of(1000000)] = few;
	return statistics;
}

static uint64_t upper_of(uint64_t ns)
{
	return lower(bucket_of(ns) + 1) - 1;
}

static void quantile_of_nothing_is_zero(void **state)
{
	const struct lazymem_statistics none = {.size = sizeof(none)};

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&none, 0.5), 0);
}

static void quantile_is_the_upper_end_of_its_bucket(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(1, 0);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 0.5), 1023); /* [960, 1024) */
}

static void quantile_zero_is_the_shortest(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(1, 99);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 0), upper_of(1000));
}

static void quantile_one_is_the_longest(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(99, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 1), upper_of(1000000));
}

static void median_of_two_is_the_shorter(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(1, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 0.5), upper_of(1000));
}

static void quantile_is_what_so_many_did_not_exceed(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(99, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 0.99), upper_of(1000));
}

static void quantile_above_that_share_is_the_next(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(99, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, 0.991), upper_of(1000000));
}

static void quantile_outside_zero_to_one_is_cut_to_it(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(1, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, -3), upper_of(1000));
	assert_int_equal(lazymem_statistics_quantile(&statistics, 3), upper_of(1000000));
}

static void quantile_that_is_no_number_is_the_shortest(void **state)
{
	const struct lazymem_statistics statistics = two_kinds(1, 1);

	(void)state;
	assert_int_equal(lazymem_statistics_quantile(&statistics, (double)NAN), upper_of(1000));
}

static void quantiles_never_descend(void **state)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	uint64_t before = 0;

	(void)state;
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i += 7)
		statistics.latency[i] = 1 + i % 5;
	for (int i = 0; i <= 1000; i++) {
		uint64_t now = lazymem_statistics_quantile(&statistics, i / 1000.0);

		assert_true(now >= before);
		before = now;
	}
}

/* ---- counters ------------------------------------------------------------ */

static void each_counter_has_its_field(void **state)
{
	struct lm_statistics statistics;
	struct lazymem_statistics out = {.size = sizeof(out)};

	(void)state;
	memset(&statistics, 0, sizeof(statistics));
	for (int i = 0; i < LM_COUNTERS; i++)
		lm_count(&statistics, (enum lm_counter)i, 100 + (uint64_t)i);
	lm_statistics_read(&statistics, &out);
	assert_int_equal(out.faults, 100 + LM_FAULTS);
	assert_int_equal(out.copied, 100 + LM_COPIED);
	assert_int_equal(out.zeroed, 100 + LM_ZEROED);
	assert_int_equal(out.continued, 100 + LM_CONTINUED);
	assert_int_equal(out.coalesced, 100 + LM_COALESCED);
	assert_int_equal(out.already_present, 100 + LM_ALREADY_PRESENT);
	assert_int_equal(out.failed, 100 + LM_FAILED);
	assert_int_equal(out.pages_populated, 100 + LM_PAGES_POPULATED);
	assert_int_equal(out.pages_prefetched, 100 + LM_PAGES_PREFETCHED);
	assert_int_equal(out.pages_discarded, 100 + LM_PAGES_DISCARDED);
	assert_int_equal(out.reads, 100 + LM_READS);
	assert_int_equal(out.bytes_read, 100 + LM_BYTES_READ);
	assert_int_equal(out.retries, 100 + LM_RETRIES);
	assert_int_equal(out.blocks_collapsed, 100 + LM_BLOCKS_COLLAPSED);
	assert_int_equal(out.syncs, 100 + LM_SYNCS);
	assert_int_equal(out.failed_syncs, 100 + LM_FAILED_SYNCS);
	assert_int_equal(out.bytes_written, 100 + LM_BYTES_WRITTEN);
}

static void counts_add_up(void **state)
{
	struct lm_statistics statistics;
	struct lazymem_statistics out = {.size = sizeof(out)};

	(void)state;
	memset(&statistics, 0, sizeof(statistics));
	lm_count(&statistics, LM_BYTES_READ, UINT64_C(1) << 40);
	lm_count(&statistics, LM_BYTES_READ, 7);
	lm_statistics_read(&statistics, &out);
	assert_int_equal(out.bytes_read, (UINT64_C(1) << 40) + 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(powers_of_two_and_their_neighbours_are_in_their_buckets),
		cmocka_unit_test(every_bucket_begins_where_it_should),
		cmocka_unit_test(longest_latency_is_in_the_last_bucket),
		cmocka_unit_test(quantile_of_nothing_is_zero),
		cmocka_unit_test(quantile_is_the_upper_end_of_its_bucket),
		cmocka_unit_test(quantile_zero_is_the_shortest),
		cmocka_unit_test(quantile_one_is_the_longest),
		cmocka_unit_test(median_of_two_is_the_shorter),
		cmocka_unit_test(quantile_is_what_so_many_did_not_exceed),
		cmocka_unit_test(quantile_above_that_share_is_the_next),
		cmocka_unit_test(quantile_outside_zero_to_one_is_cut_to_it),
		cmocka_unit_test(quantile_that_is_no_number_is_the_shortest),
		cmocka_unit_test(quantiles_never_descend),
		cmocka_unit_test(each_counter_has_its_field),
		cmocka_unit_test(counts_add_up),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
