/* SPDX-License-Identifier: MIT
 *
 * inject_shorten_test.c - reads that end half way on purpose.
 */
#include "inject_fixture.h"

static void a_shortened_read_delivers_half_and_fails(void **state)
{
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(inner, everything, 1, &shorten), 0);
	memset(buffer, 0, LENGTH);
	assert_int_equal(lazymem_backing_read(shorten, 300, buffer, 4097), -ENODATA);
	assert_true(sample_matches(buffer, 300, 2048));
	for (int i = 2048; i < 4097; i++)
		assert_int_equal(buffer[i], 0);
	assert_reads(shorten, 300, 4097);
	lazymem_backing_unref(shorten);
}

static void a_single_byte_is_not_delivered(void **state)
{
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(inner, everything, UINT64_MAX, &shorten), 0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(lazymem_backing_read(shorten, 0, buffer, 1), -ENODATA);
	assert_int_equal(buffer[0], 0);
	lazymem_backing_unref(shorten);
}

static void only_reads_that_overlap_the_range_are_shortened(void **state)
{
	const struct lazymem_inject_range range = {.start = 4096, .length = 4096};
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(inner, range, 1, &shorten), 0);
	assert_reads(shorten, 0, 4096);
	assert_reads(shorten, 8192, 4096);
	assert_int_equal(lazymem_backing_read(shorten, 0, buffer, 4097), -ENODATA);
	lazymem_backing_unref(shorten);
}

static void an_error_of_the_inner_object_goes_first(void **state)
{
	struct lazymem_backing *fail, *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 1, &fail), 0);
	assert_int_equal(lazymem_inject_shorten(fail, everything, 2, &shorten), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_read(shorten, 0, buffer, 2), -EIO);
	assert_int_equal(lazymem_backing_read(shorten, 0, buffer, 2), -ENODATA);
	assert_reads(shorten, 0, 2);
	lazymem_backing_unref(shorten);
}

static void nothing_to_wrap_is_refused(void **state)
{
	struct lazymem_backing *shorten = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(NULL, everything, 1, &shorten), -EINVAL);
	assert_null(shorten);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_shortened_read_delivers_half_and_fails),
		TEST(a_single_byte_is_not_delivered),
		TEST(only_reads_that_overlap_the_range_are_shortened),
		TEST(an_error_of_the_inner_object_goes_first),
		TEST(nothing_to_wrap_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
