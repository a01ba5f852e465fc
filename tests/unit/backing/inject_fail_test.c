/* SPDX-License-Identifier: MIT
 *
 * inject_fail_test.c - reads that fail on purpose.
 */
#include "inject_fixture.h"

#include <lazymem/zero.h>
#include <pthread.h>
#include <stdatomic.h>

static void the_first_reads_fail_and_then_none(void **state)
{
	struct lazymem_backing *fail;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 2, &fail), 0);
	assert_int_equal(lazymem_backing_read(fail, 0, buffer, 10), -EIO);
	assert_int_equal(buffer[0], 0);
	assert_int_equal(lazymem_backing_read(fail, 0, buffer, 10), -EIO);
	assert_reads(fail, 0, 10);
	lazymem_backing_unref(fail);
}

static void a_count_of_none_fails_none(void **state)
{
	struct lazymem_backing *fail;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 0, &fail), 0);
	assert_reads(fail, 0, 10);
	lazymem_backing_unref(fail);
}

static void only_reads_that_overlap_the_range_fail(void **state)
{
	const struct lazymem_inject_range range = {.start = 100, .length = 10};
	struct lazymem_backing *fail;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, range, -EIO, UINT64_MAX, &fail), 0);
	assert_reads(fail, 0, 100);
	assert_reads(fail, 99, 1);
	assert_reads(fail, 110, 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(lazymem_backing_read(fail, 99, buffer, 2), -EIO);
	assert_int_equal(lazymem_backing_read(fail, 109, buffer, 1), -EIO);
	assert_int_equal(lazymem_backing_read(fail, 0, buffer, LENGTH), -EIO);
	lazymem_backing_unref(fail);
}

static void a_range_may_reach_to_the_end_of_all_numbers(void **state)
{
	const struct lazymem_inject_range range = {.start = 100, .length = UINT64_MAX};
	struct lazymem_backing *fail;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, range, -EIO, UINT64_MAX, &fail), 0);
	assert_reads(fail, 0, 100);
	assert_int_equal(lazymem_backing_read(fail, LENGTH - 1, buffer, 1), -EIO);
	lazymem_backing_unref(fail);
}

static void a_wrapper_looks_like_what_it_wraps(void **state)
{
	struct lazymem_backing *zeros, *fail;
	struct lazymem_extent extent;

	(void)state;
	assert_int_equal(lazymem_zero_create(5000, &zeros), 0);
	assert_int_equal(lazymem_inject_fail(zeros, everything, -EIO, 1, &fail), 0);
	lazymem_backing_unref(zeros);
	assert_int_equal(lazymem_backing_length(fail), 5000);
	assert_string_equal(lazymem_backing_name(fail), "zeros (failing)");
	assert_int_equal(lazymem_backing_extent(fail, 1, 10, &extent), 0);
	assert_int_equal(extent.start, 1);
	assert_int_equal(extent.length, 10);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	lazymem_backing_unref(fail);
}

static void wrong_arguments_are_refused(void **state)
{
	struct lazymem_backing *fail = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, 0, 1, &fail), -EINVAL);
	assert_int_equal(lazymem_inject_fail(inner, everything, EIO, 1, &fail), -EINVAL);
	assert_int_equal(lazymem_inject_fail(NULL, everything, -EIO, 1, &fail), -EINVAL);
	assert_null(fail);
}

static atomic_uint failures;

static void *read_many(void *argument)
{
	unsigned char byte;

	for (int i = 0; i < 5000; i++)
		if (lazymem_backing_read(argument, 0, &byte, 1) == -EIO)
			atomic_fetch_add(&failures, 1);
	return NULL;
}

static void the_count_holds_for_all_threads_together(void **state)
{
	struct lazymem_backing *fail;
	pthread_t threads[4];

	(void)state;
	atomic_store(&failures, 0);
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 7777, &fail), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_many, fail), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&failures), 7777);
	lazymem_backing_unref(fail);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_reads_fail_and_then_none),
		TEST(a_count_of_none_fails_none),
		TEST(only_reads_that_overlap_the_range_fail),
		TEST(a_range_may_reach_to_the_end_of_all_numbers),
		TEST(a_wrapper_looks_like_what_it_wraps),
		TEST(wrong_arguments_are_refused),
		TEST(the_count_holds_for_all_threads_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
