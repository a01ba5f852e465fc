/* SPDX-License-Identifier: MIT
 *
 * zero_test.c - zeros as a backing object.
 */
#include <lazymem/zero.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void reads_deliver_zeros(void **state)
{
	struct lazymem_backing *backing;
	char buffer[100], zeros[100] = {0};

	(void)state;
	memset(buffer, 'x', sizeof(buffer));
	assert_int_equal(lazymem_zero_create(UINT64_MAX, &backing), 0);
	assert_int_equal(lazymem_backing_read(backing, UINT64_C(1) << 63, buffer, 99), 0);
	assert_memory_equal(buffer, zeros, 99);
	assert_int_equal(buffer[99], 'x');
	lazymem_backing_unref(backing);
}

static void all_of_it_is_one_zero_extent(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_extent extent;

	(void)state;
	assert_int_equal(lazymem_zero_create(1000, &backing), 0);
	assert_int_equal(lazymem_backing_extent(backing, 10, 5000, &extent), 0);
	assert_int_equal(extent.start, 10);
	assert_int_equal(extent.length, 5000);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	lazymem_backing_unref(backing);
}

static void nothing_tells_which_zeros_they_are(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_identity identity;

	(void)state;
	assert_int_equal(lazymem_zero_create(1000, &backing), 0);
	assert_int_equal(lazymem_backing_identity(backing, &identity), -ENODATA);
	lazymem_backing_unref(backing);
}

static void a_length_of_zero_is_refused(void **state)
{
	struct lazymem_backing *backing = NULL;

	(void)state;
	assert_int_equal(lazymem_zero_create(0, &backing), -EINVAL);
	assert_null(backing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_deliver_zeros),
		cmocka_unit_test(all_of_it_is_one_zero_extent),
		cmocka_unit_test(nothing_tells_which_zeros_they_are),
		cmocka_unit_test(a_length_of_zero_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
