/* wrap: calloc */
/* SPDX-License-Identifier: MIT
 *
 * block_map_test.c - which blocks may have data, while that changes.
 */
#include "backing/block_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK LM_BLOCK_SIZE

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static bool no_memory;

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory ? NULL : __real_calloc(count, size);
}

static struct lm_block_map make_map(uint64_t length)
{
	struct lm_extent_map extents;
	struct lm_block_map map;

	lm_extent_map_init(&extents, length);
	assert_int_equal(lm_block_map_create(&map, &extents), 0);
	return map;
}

static void assert_extent(const struct lm_block_map *map, uint64_t offset, uint64_t length,
			  uint64_t found, enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	lm_block_map_find(map, offset, length, &extent);
	assert_int_equal(extent.start, offset);
	assert_int_equal(extent.length, found);
	assert_int_equal(extent.kind, kind);
}

static void it_begins_with_the_extents_in_whole_blocks(void **state)
{
	struct lm_extent_map extents;
	struct lm_block_map map;

	(void)state;
	lm_extent_map_init(&extents, 100 * BLOCK + 5);
	assert_int_equal(lm_extent_map_add(&extents, 3 * BLOCK - 1, 2), 0);
	assert_int_equal(lm_extent_map_add(&extents, 100 * BLOCK, 5), 0);
	assert_int_equal(lm_block_map_create(&map, &extents), 0);
	assert_extent(&map, 0, 100 * BLOCK, 2 * BLOCK, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 2 * BLOCK + 7, 100 * BLOCK - 7, 2 * BLOCK - 7, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 4 * BLOCK, 96 * BLOCK + 5, 96 * BLOCK, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 100 * BLOCK + 1, 4, 4, LAZYMEM_EXTENT_DATA);
	lm_block_map_destroy(&map);
	lm_extent_map_destroy(&extents);
}

static void a_block_that_is_touched_is_data(void **state)
{
	struct lm_block_map map = make_map(10 * BLOCK);

	(void)state;
	lm_block_map_mark(&map, 5 * BLOCK + 100, 1);
	assert_extent(&map, 0, 10 * BLOCK, 5 * BLOCK, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 5 * BLOCK, 5 * BLOCK, BLOCK, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 5 * BLOCK, 10, 10, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 6 * BLOCK, 4 * BLOCK, 4 * BLOCK, LAZYMEM_EXTENT_ZERO);
	lm_block_map_destroy(&map);
}

static void only_what_is_cleared_as_a_whole_is_zero(void **state)
{
	struct lm_block_map map = make_map(10 * BLOCK + 100);

	(void)state;
	lm_block_map_mark(&map, 0, 10 * BLOCK + 100);
	lm_block_map_clear(&map, BLOCK + 1, 3 * BLOCK - 2);
	assert_extent(&map, 0, 10 * BLOCK, 2 * BLOCK, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 2 * BLOCK, 8 * BLOCK, BLOCK, LAZYMEM_EXTENT_ZERO);
	lm_block_map_clear(&map, 5 * BLOCK, BLOCK - 1);
	lm_block_map_clear(&map, 5 * BLOCK + 1, BLOCK - 1);
	assert_extent(&map, 3 * BLOCK, 7 * BLOCK, 7 * BLOCK, LAZYMEM_EXTENT_DATA);
	lm_block_map_clear(&map, 10 * BLOCK, 100); /* all that there is of the last one */
	assert_extent(&map, 10 * BLOCK, 100, 100, LAZYMEM_EXTENT_ZERO);
	lm_block_map_destroy(&map);
}

static void a_long_run_is_told_in_pieces(void **state)
{
	const uint64_t length = UINT64_C(1) << 40;
	struct lm_block_map map = make_map(length);
	struct lazymem_extent extent;

	(void)state;
	lm_block_map_find(&map, 0, length, &extent);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	assert_true(extent.length >= UINT64_C(64) << 20 && extent.length < length);
	lm_block_map_mark(&map, length - 1, 1);
	assert_extent(&map, length - 2 * BLOCK, 2 * BLOCK, BLOCK, LAZYMEM_EXTENT_ZERO);
	lm_block_map_destroy(&map);
}

/* Every answer is right and not empty, and neighbours are told together. */
static void random_changes_agree_with_a_plain_array(void **state)
{
	enum { BLOCKS = 300, LENGTH = BLOCKS * 4096 - 1000 };
	struct lm_block_map map = make_map(LENGTH);
	bool data[BLOCKS] = {false};
	unsigned seed = 1;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		const uint64_t offset = (uint64_t)rand_r(&seed) % LENGTH;
		const uint64_t most = LENGTH - offset;
		const uint64_t length = 1 + (uint64_t)rand_r(&seed) % (most < 90000 ? most : 90000);
		const uint64_t end = offset + length;
		struct lazymem_extent extent;

		if (round % 3 == 0) {
			lm_block_map_mark(&map, offset, length);
			for (uint64_t block = offset / BLOCK; block * BLOCK < end; block++)
				data[block] = true;
		} else if (round % 3 == 1) {
			lm_block_map_clear(&map, offset, length);
			for (uint64_t block = (offset + BLOCK - 1) / BLOCK; block < BLOCKS; block++)
				if (end >= (block + 1) * BLOCK ||
				    (end == LENGTH && block * BLOCK < end))
					data[block] = false;
		}
		lm_block_map_find(&map, offset, length, &extent);
		assert_int_equal(extent.start, offset);
		assert_int_equal(extent.kind == LAZYMEM_EXTENT_DATA, data[offset / BLOCK]);
		assert_in_range(extent.length, 1, length);
		for (uint64_t block = offset / BLOCK; block * BLOCK < offset + extent.length;
		     block++)
			assert_int_equal(data[block], data[offset / BLOCK]);
		if (extent.length < length)
			assert_int_not_equal(data[(offset + extent.length) / BLOCK],
					     data[offset / BLOCK]);
	}
	lm_block_map_destroy(&map);
}

static void without_memory_there_is_no_map(void **state)
{
	struct lm_extent_map extents;
	struct lm_block_map map;
	int error;

	(void)state;
	lm_extent_map_init(&extents, 1);
	no_memory = true;
	error = lm_block_map_create(&map, &extents);
	no_memory = false;
	assert_int_equal(error, -ENOMEM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_with_the_extents_in_whole_blocks),
		cmocka_unit_test(a_block_that_is_touched_is_data),
		cmocka_unit_test(only_what_is_cleared_as_a_whole_is_zero),
		cmocka_unit_test(a_long_run_is_told_in_pieces),
		cmocka_unit_test(random_changes_agree_with_a_plain_array),
		cmocka_unit_test(without_memory_there_is_no_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
