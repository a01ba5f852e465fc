/* SPDX-License-Identifier: MIT */
#include "core/checked.h"

#include "model.h"

static void sum_that_fits_is_returned(void **state)
{
	uint64_t sum = 0;

	(void)state;
	assert_true(lm_add(UINT64_MAX - 1, 1, &sum));
	assert_true(sum == UINT64_MAX);
}

static void sum_that_wraps_is_refused_and_untouched(void **state)
{
	uint64_t sum = 5;

	(void)state;
	assert_false(lm_add(UINT64_MAX, 1, &sum));
	assert_int_equal(sum, 5);
}

static void power_of_two_has_one_bit(void **state)
{
	(void)state;
	assert_true(lm_is_power_of_two(1));
	assert_true(lm_is_power_of_two((uint64_t)1 << 63));
	assert_false(lm_is_power_of_two(0));
	assert_false(lm_is_power_of_two(3));
}

static void alignment_is_exact(void **state)
{
	(void)state;
	assert_true(lm_is_aligned(0, 4096));
	assert_true(lm_is_aligned(8192, 4096));
	assert_false(lm_is_aligned(8193, 4096));
	assert_false(lm_is_aligned(8191, 4096));
	assert_int_equal(lm_align_down(8191, 4096), 4096);
}

static void align_up_finds_the_next_multiple(void **state)
{
	uint64_t aligned = 0;

	(void)state;
	assert_true(lm_align_up(4097, 4096, &aligned));
	assert_int_equal(aligned, 8192);
	assert_true(lm_align_up(8192, 4096, &aligned));
	assert_int_equal(aligned, 8192);
	assert_true(lm_align_up(UINT64_MAX - 4095, 4096, &aligned));
	assert_true(aligned == UINT64_MAX - 4095);
}

static void align_up_refuses_to_wrap(void **state)
{
	uint64_t aligned = 5;

	(void)state;
	assert_false(lm_align_up(UINT64_MAX - 4094, 4096, &aligned));
	assert_int_equal(aligned, 5);
}

static void fits_does_not_wrap(void **state)
{
	(void)state;
	assert_true(lm_fits(0, 10, 10));
	assert_true(lm_fits(10, 0, 10));
	assert_false(lm_fits(0, 11, 10));
	assert_false(lm_fits(1, 10, 10));
	assert_false(lm_fits(11, 0, 10));
	assert_false(lm_fits(2, UINT64_MAX, 10));
	assert_false(lm_fits(UINT64_MAX, 2, 10));
}

static void min_is_the_lesser(void **state)
{
	(void)state;
	assert_int_equal(lm_min(1, 2), 1);
	assert_int_equal(lm_min(2, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sum_that_fits_is_returned),
		cmocka_unit_test(sum_that_wraps_is_refused_and_untouched),
		cmocka_unit_test(power_of_two_has_one_bit),
		cmocka_unit_test(alignment_is_exact),
		cmocka_unit_test(align_up_finds_the_next_multiple),
		cmocka_unit_test(align_up_refuses_to_wrap),
		cmocka_unit_test(fits_does_not_wrap),
		cmocka_unit_test(min_is_the_lesser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
