/* wrap: lseek */
/* SPDX-License-Identifier: MIT
 *
 * extent_map_test.c - the array of data extents, and how it is filled from
 * what lseek says.
 */
#include "backing/extent_map.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <unistd.h>

#include <cmocka.h>

off_t __wrap_lseek(int fd, off_t offset, int whence);

/* A file whose data is [4096, 8192) and [12288, 12289), as lseek tells it. */
static int seek_data_error, seek_hole_error;
static bool lies;

static off_t seek_data(off_t offset)
{
	if (seek_data_error != 0) {
		errno = seek_data_error;
		return -1;
	}
	if (lies)
		return offset - 1;
	if (offset < 4096)
		return 4096;
	if (offset < 8192)
		return offset;
	if (offset <= 12288)
		return 12288;
	errno = ENXIO;
	return -1;
}

static off_t seek_hole(off_t offset)
{
	if (seek_hole_error != 0) {
		errno = seek_hole_error;
		return -1;
	}
	return offset < 8192 ? 8192 : 12289;
}

off_t __wrap_lseek(int fd, off_t offset, int whence)
{
	assert_int_equal(fd, 42);
	if (whence == SEEK_DATA)
		return seek_data(offset);
	assert_int_equal(whence, SEEK_HOLE);
	return seek_hole(offset);
}

static int reset(void **state)
{
	(void)state;
	seek_data_error = 0;
	seek_hole_error = 0;
	lies = false;
	return 0;
}

static void assert_extent(const struct lm_extent_map *map, uint64_t offset, uint64_t length,
			  uint64_t expected, enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	lm_extent_map_find(map, offset, length, &extent);
	assert_int_equal(extent.start, offset);
	assert_int_equal(extent.length, expected);
	assert_int_equal(extent.kind, kind);
}

static void an_empty_map_is_one_hole(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 1000);
	assert_extent(&map, 0, 5000, 1000, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 999, 1, 1, LAZYMEM_EXTENT_ZERO);
	lm_extent_map_destroy(&map);
}

static void find_cuts_at_every_edge(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 1000);
	assert_int_equal(lm_extent_map_add(&map, 100, 50), 0);
	assert_int_equal(lm_extent_map_add(&map, 200, 1), 0);
	assert_extent(&map, 0, 1000, 100, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 99, 1000, 1, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 100, 1000, 50, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 100, 49, 49, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 149, 1000, 1, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 150, 1000, 50, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 199, 1000, 1, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 200, 1000, 1, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 201, 1000, 799, LAZYMEM_EXTENT_ZERO);
	lm_extent_map_destroy(&map);
}

static void adjacent_extents_are_joined(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 1000);
	assert_int_equal(lm_extent_map_add(&map, 0, 10), 0);
	assert_int_equal(lm_extent_map_add(&map, 10, 10), 0);
	assert_int_equal(map.count, 1);
	assert_extent(&map, 0, 1000, 20, LAZYMEM_EXTENT_DATA);
	lm_extent_map_destroy(&map);
}

static void every_hole_is_kept(void **state)
{
	enum { EXTENTS = 100000 };
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, (uint64_t)EXTENTS * 8192);
	for (uint64_t i = 0; i < EXTENTS; i++)
		assert_int_equal(lm_extent_map_add(&map, i * 8192, 4096), 0);
	for (uint64_t i = 0; i < EXTENTS; i++) {
		assert_extent(&map, i * 8192, 8192, 4096, LAZYMEM_EXTENT_DATA);
		assert_extent(&map, i * 8192 + 4096, 4096, 4096, LAZYMEM_EXTENT_ZERO);
	}
	lm_extent_map_destroy(&map);
}

static void scan_finds_data_and_holes(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 20000);
	assert_int_equal(lm_extent_map_scan(&map, 42, 0), 0);
	assert_extent(&map, 0, 20000, 4096, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 4096, 20000, 4096, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 8192, 20000, 4096, LAZYMEM_EXTENT_ZERO);
	assert_extent(&map, 12288, 20000, 1, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 12289, 20000, 20000 - 12289, LAZYMEM_EXTENT_ZERO);
	lm_extent_map_destroy(&map);
}

static void scan_keeps_to_its_window(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 1000);
	assert_int_equal(lm_extent_map_scan(&map, 42, 7692), 0);
	assert_int_equal(map.count, 1);
	assert_extent(&map, 0, 1000, 500, LAZYMEM_EXTENT_DATA);
	assert_extent(&map, 500, 1000, 500, LAZYMEM_EXTENT_ZERO);
	lm_extent_map_destroy(&map);
	lm_extent_map_init(&map, 1000);
	assert_int_equal(lm_extent_map_scan(&map, 42, 5000), 0);
	assert_extent(&map, 0, 1000, 1000, LAZYMEM_EXTENT_DATA);
	lm_extent_map_destroy(&map);
}

static void assert_all_data_is_scanned(void)
{
	struct lm_extent_map map;

	lm_extent_map_init(&map, 20000);
	assert_int_equal(lm_extent_map_scan(&map, 42, 4096), 0);
	assert_extent(&map, 0, 20000, 20000, LAZYMEM_EXTENT_DATA);
	lm_extent_map_destroy(&map);
}

static void everything_is_data_where_holes_cannot_be_sought(void **state)
{
	(void)state;
	seek_data_error = ENOTSUP;
	assert_all_data_is_scanned();
	seek_data_error = EINVAL;
	assert_all_data_is_scanned();
	seek_data_error = 0;
	seek_hole_error = EINVAL;
	assert_all_data_is_scanned();
	seek_hole_error = 0;
	lies = true;
	assert_all_data_is_scanned();
}

/* A hole that is taken for data would hide what is below it. */
static void failure_to_seek_is_not_taken_for_data(void **state)
{
	struct lm_extent_map map;

	(void)state;
	lm_extent_map_init(&map, 20000);
	seek_data_error = EIO;
	assert_int_equal(lm_extent_map_scan(&map, 42, 0), -EIO);
	seek_data_error = 0;
	seek_hole_error = EIO;
	assert_int_equal(lm_extent_map_scan(&map, 42, 0), -EIO);
	lm_extent_map_destroy(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_map_is_one_hole),
		cmocka_unit_test(find_cuts_at_every_edge),
		cmocka_unit_test(adjacent_extents_are_joined),
		cmocka_unit_test(every_hole_is_kept),
		cmocka_unit_test_setup(scan_finds_data_and_holes, reset),
		cmocka_unit_test_setup(scan_keeps_to_its_window, reset),
		cmocka_unit_test_setup(everything_is_data_where_holes_cannot_be_sought, reset),
		cmocka_unit_test_setup(failure_to_seek_is_not_taken_for_data, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
