/* SPDX-License-Identifier: MIT
 *
 * bytes_test.c - bytes in memory as a backing object.
 */
#include <lazymem/bytes.h>

#include "sample.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void count(void *context)
{
	(*(unsigned *)context)++;
}

static void reads_deliver_the_bytes_and_zeros_after_them(void **state)
{
	struct lazymem_backing *backing;
	unsigned char bytes[5000], buffer[5001];

	(void)state;
	sample_fill(bytes, 0, sizeof(bytes));
	assert_int_equal(lazymem_bytes_create(bytes, sizeof(bytes), NULL, NULL, &backing), 0);
	assert_int_equal(lazymem_backing_length(backing), sizeof(bytes));
	assert_int_equal(lazymem_backing_read(backing, 0, buffer, 5001), 0);
	assert_true(sample_matches(buffer, 0, 5000));
	assert_int_equal(buffer[5000], 0);
	assert_int_equal(lazymem_backing_read(backing, 4999, buffer, 1), 0);
	assert_true(sample_matches(buffer, 4999, 1));
	assert_int_equal(lazymem_backing_read(backing, 5000, buffer, 1), -ERANGE);
	lazymem_backing_unref(backing);
}

static void all_of_it_is_data(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_extent extent;
	const char zeros[100] = {0};

	(void)state;
	assert_int_equal(lazymem_bytes_create(zeros, sizeof(zeros), NULL, NULL, &backing), 0);
	assert_int_equal(lazymem_backing_extent(backing, 1, 4096, &extent), 0);
	assert_int_equal(extent.length, 99);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_DATA);
	lazymem_backing_unref(backing);
}

static void nothing_tells_which_bytes_they_are(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_identity identity;

	(void)state;
	assert_int_equal(lazymem_bytes_create("x", 1, NULL, NULL, &backing), 0);
	assert_int_equal(lazymem_backing_identity(backing, &identity), -ENODATA);
	lazymem_backing_unref(backing);
}

static void the_last_reference_releases_the_bytes(void **state)
{
	struct lazymem_backing *backing;
	unsigned released = 0;

	(void)state;
	assert_int_equal(lazymem_bytes_create("x", 1, count, &released, &backing), 0);
	lazymem_backing_ref(backing);
	lazymem_backing_unref(backing);
	assert_int_equal(released, 0);
	lazymem_backing_unref(backing);
	assert_int_equal(released, 1);
}

static void nothing_is_refused_and_not_released(void **state)
{
	struct lazymem_backing *backing = NULL;
	unsigned released = 0;

	(void)state;
	assert_int_equal(lazymem_bytes_create(NULL, 1, count, &released, &backing), -EINVAL);
	assert_int_equal(lazymem_bytes_create_writable(NULL, 1, count, &released, &backing),
			 -EINVAL);
	assert_int_equal(lazymem_bytes_create("x", 0, count, &released, &backing), -EINVAL);
	assert_null(backing);
	assert_int_equal(released, 0);
}

static void the_usual_object_is_read_only(void **state)
{
	struct lazymem_backing *backing;
	char bytes[2] = "x";

	(void)state;
	assert_int_equal(lazymem_bytes_create(bytes, 1, NULL, NULL, &backing), 0);
	assert_false(lazymem_backing_is_writable(backing));
	assert_int_equal(lazymem_backing_write(backing, 0, "y", 1), -EROFS);
	assert_int_equal(bytes[0], 'x');
	lazymem_backing_unref(backing);
}

static void a_writable_one_changes_the_bytes(void **state)
{
	struct lazymem_backing *backing;
	char bytes[] = "0123456789", buffer[4];
	unsigned released = 0;

	(void)state;
	assert_int_equal(lazymem_bytes_create_writable(bytes, 10, count, &released, &backing), 0);
	assert_int_equal(lazymem_backing_write(backing, 3, "abc", 3), 0);
	assert_string_equal(bytes, "012abc6789");
	assert_int_equal(lazymem_backing_read(backing, 2, buffer, 4), 0);
	assert_memory_equal(buffer, "2abc", 4);
	assert_int_equal(lazymem_backing_flush(backing), 0);
	assert_int_equal(lazymem_backing_discard(backing, 4, 4), 0);
	assert_memory_equal(bytes,
			    "012a\0\0\0\0"
			    "89",
			    10);
	lazymem_backing_unref(backing);
	assert_int_equal(released, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_deliver_the_bytes_and_zeros_after_them),
		cmocka_unit_test(all_of_it_is_data),
		cmocka_unit_test(nothing_tells_which_bytes_they_are),
		cmocka_unit_test(the_last_reference_releases_the_bytes),
		cmocka_unit_test(nothing_is_refused_and_not_released),
		cmocka_unit_test(the_usual_object_is_read_only),
		cmocka_unit_test(a_writable_one_changes_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
