/* SPDX-License-Identifier: MIT */
#include "pieces.h"

#include <lazymem/bytes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SOURCE_LENGTH ((size_t)1000)
#define LENGTH ((size_t)5000)

static unsigned char source_bytes[SOURCE_LENGTH];

/* Bytes 100 to 299 are those of the source from 700 on, 300 to 399 those from
 * 0 on, 4900 to 4999 those from 500 on. */
static const struct piece layout[] = {{100, 200, 700}, {300, 100, 0}, {4900, 100, 500}};

static struct lazymem_backing *make(void)
{
	struct lazymem_backing *source;
	struct lazymem_backing *backing;
	struct piece_list list = {0};

	for (size_t i = 0; i < SOURCE_LENGTH; i++)
		source_bytes[i] = (unsigned char)(i % 251 + 1);
	for (size_t i = 0; i < sizeof(layout) / sizeof(*layout); i++)
		assert_int_equal(piece_list_add(&list, layout[i]), 0);
	assert_int_equal(lazymem_bytes_create(source_bytes, SOURCE_LENGTH, NULL, NULL, &source), 0);
	assert_int_equal(pieces_create(source, &list, LENGTH, &backing), 0);
	assert_null(list.pieces);
	lazymem_backing_unref(source);
	return backing;
}

static unsigned char expected_at(size_t offset)
{
	for (size_t i = 0; i < sizeof(layout) / sizeof(*layout); i++) {
		if (offset >= layout[i].start && offset - layout[i].start < layout[i].length)
			return source_bytes[layout[i].source_offset + offset - layout[i].start];
	}
	return 0;
}

static void test_every_read_is_put_together(void **state)
{
	struct lazymem_backing *backing = make();
	unsigned char bytes[LENGTH];

	(void)state;
	for (size_t offset = 0; offset < LENGTH; offset += 37) {
		for (size_t length = 1; length <= LENGTH - offset; length += 211) {
			memset(bytes, 0xee, sizeof(bytes));
			assert_int_equal(lazymem_backing_read(backing, offset, bytes, length), 0);
			for (size_t i = 0; i < length; i++)
				assert_int_equal(bytes[i], expected_at(offset + i));
		}
	}
	lazymem_backing_unref(backing);
}

static void assert_extent(struct lazymem_backing *backing, uint64_t offset, uint64_t length,
			  uint64_t expected_length, enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_extent(backing, offset, length, &extent), 0);
	assert_int_equal(extent.start, offset);
	assert_int_equal(extent.length, expected_length);
	assert_int_equal(extent.kind, kind);
}

static void test_extents_are_the_pieces_and_what_is_between(void **state)
{
	struct lazymem_backing *backing = make();

	(void)state;
	assert_extent(backing, 0, LENGTH, 100, LAZYMEM_EXTENT_ZERO);
	assert_extent(backing, 50, 10, 10, LAZYMEM_EXTENT_ZERO);
	assert_extent(backing, 100, LENGTH - 100, 200, LAZYMEM_EXTENT_DATA);
	assert_extent(backing, 299, 100, 1, LAZYMEM_EXTENT_DATA);
	assert_extent(backing, 300, 20, 20, LAZYMEM_EXTENT_DATA);
	assert_extent(backing, 400, LENGTH - 400, 4500, LAZYMEM_EXTENT_ZERO);
	assert_extent(backing, 4950, 50, 50, LAZYMEM_EXTENT_DATA);
	lazymem_backing_unref(backing);
}

static void test_no_pieces_at_all_are_zeros(void **state)
{
	struct lazymem_backing *source;
	struct lazymem_backing *backing;
	struct piece_list list = {0};
	unsigned char bytes[10];

	(void)state;
	assert_int_equal(lazymem_bytes_create(source_bytes, SOURCE_LENGTH, NULL, NULL, &source), 0);
	assert_int_equal(pieces_create(source, &list, LENGTH, &backing), 0);
	lazymem_backing_unref(source);
	assert_extent(backing, 10, 20, 20, LAZYMEM_EXTENT_ZERO);
	assert_int_equal(lazymem_backing_read(backing, LENGTH - 10, bytes, 10), 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	lazymem_backing_unref(backing);
}

static void test_a_list_that_grows(void **state)
{
	struct piece_list list = {0};

	(void)state;
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(piece_list_add(&list, (struct piece){i * 10, 5, i}), 0);
	assert_int_equal(list.count, 1000);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(list.pieces[i].start, i * 10);
	piece_list_free(&list);
	assert_int_equal(list.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_read_is_put_together),
		cmocka_unit_test(test_extents_are_the_pieces_and_what_is_between),
		cmocka_unit_test(test_no_pieces_at_all_are_zeros),
		cmocka_unit_test(test_a_list_that_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
