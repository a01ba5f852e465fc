/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_index_test.c - chunks come in the order of the file and leave
 * in that of the memory.
 */
#include "backing/snapshot_write_index.h"
#include "core/crc32c.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)

static struct lm_write_index index_of_test;

static int tear_down(void **state)
{
	(void)state;
	lm_write_index_destroy(&index_of_test);
	return 0;
}

static void add(uint8_t kind, uint64_t page, uint32_t count, uint64_t position, uint32_t checksum)
{
	const struct lm_chunk chunk = {.kind = kind,
				       .page = page,
				       .count = count,
				       .position = position,
				       .checksum = checksum,
				       .stored = kind > LAZYMEM_CHUNK_RAW ? 100 : 0};

	assert_int_equal(lm_write_index_add(&index_of_test, &chunk), 0);
}

/* The chunks leave as these pages and counts. */
static void assert_leaves(const uint64_t (*expected)[2], size_t count)
{
	struct lm_write_cursor cursor = {0};
	struct lm_chunk chunk;

	for (size_t i = 0; i < count; i++) {
		assert_true(lm_write_index_next(&index_of_test, &cursor, &chunk));
		assert_int_equal(chunk.page, expected[i][0]);
		assert_int_equal(chunk.count, expected[i][1]);
	}
	assert_false(lm_write_index_next(&index_of_test, &cursor, &chunk));
}

static void raw_chunks_that_follow_in_memory_and_file_are_joined(void **state)
{
	static const uint64_t expected[][2] = {{0, 5}, {5, 1}, {6, 1}, {8, 1}};

	(void)state;
	add(LAZYMEM_CHUNK_RAW, 0, 2, 1 * PAGE, 0);
	add(LAZYMEM_CHUNK_RAW, 2, 3, 3 * PAGE, 2);
	add(LAZYMEM_CHUNK_RAW, 5, 1, 9 * PAGE, 5);  /* elsewhere in the file */
	add(LAZYMEM_CHUNK_RAW, 6, 1, 10 * PAGE, 7); /* other checksums */
	add(LAZYMEM_CHUNK_RAW, 8, 1, 11 * PAGE, 8); /* elsewhere in the memory */
	assert_leaves(expected, 4);
}

static void compressed_chunks_are_never_joined(void **state)
{
	static const uint64_t expected[][2] = {{0, 4}, {4, 4}};

	(void)state;
	add(LAZYMEM_CHUNK_LZ4, 0, 4, 4096, 0);
	add(LAZYMEM_CHUNK_LZ4, 4, 4, 4196, 4);
	assert_leaves(expected, 2);
}

static void absent_chunks_are_joined_with_their_own_kind(void **state)
{
	static const uint64_t expected[][2] = {{0, 12}, {12, 3}};

	(void)state;
	assert_int_equal(lm_write_index_add_absent(&index_of_test, LAZYMEM_CHUNK_ZERO, 0, 10), 0);
	assert_int_equal(lm_write_index_add_absent(&index_of_test, LAZYMEM_CHUNK_ZERO, 10, 2), 0);
	assert_int_equal(lm_write_index_add_absent(&index_of_test, LAZYMEM_CHUNK_PARENT, 12, 3), 0);
	assert_leaves(expected, 2);
}

static void count_of_a_chunk_does_not_wrap(void **state)
{
	static const uint64_t expected[][2] = {{0, UINT32_MAX}, {UINT32_MAX, 3}};

	(void)state;
	assert_int_equal(lm_write_index_add_absent(&index_of_test, LAZYMEM_CHUNK_ZERO, 0,
						   (uint64_t)UINT32_MAX + 1),
			 0);
	assert_int_equal(lm_write_index_add_absent(&index_of_test, LAZYMEM_CHUNK_ZERO,
						   (uint64_t)UINT32_MAX + 1, 2),
			 0);
	assert_leaves(expected, 2);
}

static void chunks_of_the_trace_are_merged_in(void **state)
{
	static const uint64_t expected[][2] = {{0, 2}, {2, 2}, {4, 4}, {8, 1}, {9, 1}};

	(void)state;
	add(LAZYMEM_CHUNK_RAW, 8, 1, 1 * PAGE, 0);
	add(LAZYMEM_CHUNK_RAW, 2, 2, 2 * PAGE, 1);
	lm_write_index_end_trace(&index_of_test);
	add(LAZYMEM_CHUNK_RAW, 0, 2, 4 * PAGE, 3);
	add(LAZYMEM_CHUNK_ZERO, 4, 4, 0, 0);
	add(LAZYMEM_CHUNK_RAW, 9, 1, 6 * PAGE, 5);
	assert_leaves(expected, 5);
}

static void neighbours_from_both_sides_are_joined(void **state)
{
	static const uint64_t zeros[][2] = {{0, 9}};

	(void)state;
	add(LAZYMEM_CHUNK_ZERO, 6, 1, 0, 0);
	add(LAZYMEM_CHUNK_ZERO, 3, 2, 0, 0);
	lm_write_index_end_trace(&index_of_test);
	add(LAZYMEM_CHUNK_ZERO, 0, 3, 0, 0);
	add(LAZYMEM_CHUNK_ZERO, 5, 1, 0, 0);
	add(LAZYMEM_CHUNK_ZERO, 7, 2, 0, 0);
	assert_leaves(zeros, 1);
}

static void features_are_those_of_the_chunks(void **state)
{
	(void)state;
	add(LAZYMEM_CHUNK_RAW, 0, 1, 4096, 0);
	add(LAZYMEM_CHUNK_ZERO, 1, 1, 0, 0);
	assert_int_equal(index_of_test.features, 0);
	add(LAZYMEM_CHUNK_ZSTD, 2, 1, 8192, 0);
	assert_int_equal(index_of_test.features, LM_FEATURE_ZSTD);
	add(LAZYMEM_CHUNK_LZ4, 3, 1, 8292, 0);
	assert_int_equal(index_of_test.features, LM_FEATURE_LZ4 | LM_FEATURE_ZSTD);
}

static void checksums_are_numbered_in_order(void **state)
{
	unsigned char *pages = calloc(600, PAGE);
	uint32_t first = 77;

	(void)state;
	assert_non_null(pages);
	for (size_t i = 0; i < 600; i++)
		memcpy(pages + i * PAGE, &i, sizeof(i));
	assert_int_equal(lm_write_index_add_checksums(&index_of_test, pages, 1, &first), 0);
	assert_int_equal(first, 0);
	assert_int_equal(lm_write_index_add_checksums(&index_of_test, pages + PAGE, 599, &first),
			 0);
	assert_int_equal(first, 1);
	assert_int_equal(index_of_test.checksum_count, 600);
	for (size_t i = 0; i < 600; i++)
		assert_int_equal(index_of_test.checksums[i], lm_crc32c(0, pages + i * PAGE, PAGE));
	free(pages);
}

static void more_checksums_than_the_format_counts_are_refused(void **state)
{
	const unsigned char page[4096] = {0};
	uint32_t first = 77;

	(void)state;
	index_of_test.checksum_count = UINT32_MAX;
	assert_int_equal(lm_write_index_add_checksums(&index_of_test, page, 1, &first), -EOVERFLOW);
	assert_int_equal(first, 77);
}

#define with_index(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_index(raw_chunks_that_follow_in_memory_and_file_are_joined),
		with_index(compressed_chunks_are_never_joined),
		with_index(absent_chunks_are_joined_with_their_own_kind),
		with_index(count_of_a_chunk_does_not_wrap),
		with_index(chunks_of_the_trace_are_merged_in),
		with_index(neighbours_from_both_sides_are_joined),
		with_index(features_are_those_of_the_chunks),
		with_index(checksums_are_numbered_in_order),
		with_index(more_checksums_than_the_format_counts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
