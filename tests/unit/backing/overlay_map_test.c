/* SPDX-License-Identifier: MIT
 *
 * overlay_map_test.c - the states of blocks against plain arrays: as reads see them,
 * as they are durable, and what is written in between.
 */
#include "backing/overlay_map.h"

#include <errno.h>
#include <lazymem/overlay.h>
#include <lazymem/zero.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sample.h"
#include <cmocka.h>

#define BLOCK LM_OVERLAY_BLOCK
#define SECTOR_BLOCKS (LM_OVERLAY_SECTOR_WORDS * LM_OVERLAY_WORD_BLOCKS)
#define SECTORS 5
#define BLOCKS (4 * SECTOR_BLOCKS + 77)
#define LENGTH (BLOCKS * BLOCK - 9)

static struct lm_overlay_map map;
static uint64_t seed;

/* What the map should say, and what a file would that was written as it asks. */
static unsigned char states[BLOCKS], durable[BLOCKS];
static uint64_t file[SECTORS][LM_OVERLAY_SECTOR_WORDS];

static uint64_t below(uint64_t limit)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed * UINT64_C(0x2545f4914f6cdd1d) >> 32) % limit;
}

static int set_up(void **state)
{
	const struct lm_overlay_header header = {.length = LENGTH, .key = 4};

	(void)state;
	memset(states, 0, sizeof(states));
	memset(durable, 0, sizeof(durable));
	memset(file, 0, sizeof(file));
	return lm_overlay_map_create(&header, true, &map);
}

static int tear_down(void **state)
{
	(void)state;
	lm_overlay_map_destroy(&map);
	return 0;
}

static void set(uint64_t first, uint64_t count, enum lm_overlay_state state)
{
	memset(states + first, (int)state, count);
	lm_overlay_map_set(&map, first, count, state);
}

static void assert_states(void)
{
	uint64_t counts[3] = {0}, block = 0;

	for (uint64_t i = 0; i < BLOCKS; i++) {
		assert_int_equal(lm_overlay_map_get(&map, i), states[i]);
		counts[states[i]]++;
	}
	for (unsigned state = 1; state < 3; state++)
		assert_int_equal(lm_overlay_map_count(&map, (enum lm_overlay_state)state),
				 counts[state]);
	assert_int_equal(atomic_load(&map.overlaid), counts[1] + counts[2]);
	while (block < BLOCKS) {
		const uint64_t start = block * BLOCK + below(100);
		enum lm_overlay_state state;
		const uint64_t run = lm_overlay_map_run(&map, start, LENGTH - start, &state);
		const uint64_t last = (start + run - 1) / BLOCK;

		assert_true(run > 0 && run <= LENGTH - start);
		for (; block <= last; block++)
			assert_int_equal(states[block], state);
		assert_true(start + run == LENGTH || (start + run) % BLOCK == 0);
	}
}

/* Write the staged sectors to the file; only the first `most` of them. */
static void write_staged(size_t most)
{
	uint64_t first, count, next = 0;

	while (lm_overlay_map_staged(&map, next, &first, &count)) {
		assert_true(first >= next && first + count <= SECTORS);
		for (uint64_t i = first; i < first + count && most > 0; i++, most--)
			assert_int_equal(lm_overlay_parse_sector(&map.header, i,
								 map.staged + i * LM_OVERLAY_SECTOR,
								 file[i]),
					 0);
		next = first + count;
	}
}

/* What somebody reads who opens the file. */
static void assert_file_says(const unsigned char *expected)
{
	struct lm_overlay_map read;

	assert_int_equal(lm_overlay_map_create(&map.header, false, &read), 0);
	for (uint64_t i = 0; i < SECTORS; i++)
		lm_overlay_map_load(&read, i, file[i]);
	for (uint64_t i = 0; i < BLOCKS; i++)
		assert_int_equal(lm_overlay_map_get(&read, i), expected[i]);
	lm_overlay_map_destroy(&read);
}

static void change_at_random(void)
{
	const uint64_t first = below(BLOCKS);
	uint64_t count = 1 + below(below(3) == 0 ? 2 * SECTOR_BLOCKS : 100);

	if (count > BLOCKS - first)
		count = BLOCKS - first;
	set(first, count, (enum lm_overlay_state)below(3));
}

static void flush_at_random(void)
{
	unsigned char asked[BLOCKS];
	const bool any = lm_overlay_map_stage(&map);

	memcpy(asked, states, sizeof(asked));
	if (below(2) == 0)
		change_at_random();
	if (below(3) == 0) {
		write_staged(below(SECTORS + 1));
		lm_overlay_map_revert(&map);
		memcpy(states, durable, sizeof(states));
		return;
	}
	write_staged(SIZE_MAX);
	lm_overlay_map_settle(&map);
	memcpy(durable, asked, sizeof(durable));
	if (any)
		assert_file_says(durable);
}

static void random_changes_and_flushes(void **state)
{
	const char *given = getenv("LAZYMEM_TEST_SEED");
	const uint64_t first = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

	(void)state;
	print_message("LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)first);
	seed = first * UINT64_C(0x9e3779b97f4a7c15) | 1;
	for (unsigned step = 0; step < 200; step++) {
		if (below(4) == 0)
			flush_at_random();
		else
			change_at_random();
		assert_states();
	}
	(void)lm_overlay_map_stage(&map);
	write_staged(SIZE_MAX);
	lm_overlay_map_settle(&map);
	assert_file_says(states);
}

static void nothing_new_is_not_staged(void **state)
{
	(void)state;
	assert_false(lm_overlay_map_stage(&map));
	set(5, 3, LM_OVERLAY_BASE);
	assert_false(lm_overlay_map_stage(&map));
	set(5, 3, LM_OVERLAY_DATA);
	assert_true(lm_overlay_map_stage(&map));
	lm_overlay_map_settle(&map);
	set(6, 1, LM_OVERLAY_DATA);
	assert_false(lm_overlay_map_stage(&map));
}

static void only_sectors_that_changed_are_staged(void **state)
{
	uint64_t first, count;

	(void)state;
	set(0, 1, LM_OVERLAY_DATA);
	set(2 * SECTOR_BLOCKS - 1, 2, LM_OVERLAY_ZERO);
	set(BLOCKS - 1, 1, LM_OVERLAY_DATA);
	assert_true(lm_overlay_map_stage(&map));
	assert_true(lm_overlay_map_staged(&map, 0, &first, &count));
	assert_int_equal(first, 0);
	assert_int_equal(count, 3);
	assert_true(lm_overlay_map_staged(&map, 3, &first, &count));
	assert_int_equal(first, 4);
	assert_int_equal(count, 1);
	assert_false(lm_overlay_map_staged(&map, 5, &first, &count));
}

/* Through the object: sectors here and there, in one flush. */
static void scattered_sectors_come_back(void **state)
{
	static const uint64_t blocks[] = {0, SECTOR_BLOCKS - 1, 2 * SECTOR_BLOCKS, BLOCKS - 1};
	struct lazymem_identity identity;
	const struct lazymem_overlay_options options = {.size = sizeof(options),
							.base_identity = &identity};
	char *directory = sample_make_directory(), *path;
	struct lazymem_backing *zero, *overlay;
	unsigned char bytes[BLOCK];

	(void)state;
	memset(&identity, 1, sizeof(identity));
	assert_true(asprintf(&path, "%s/overlay", directory) > 0);
	assert_int_equal(lazymem_zero_create(LENGTH, &zero), 0);
	assert_int_equal(lazymem_overlay_open(path, zero, &options, &overlay), 0);
	for (size_t i = 0; i < 4; i++) {
		memset(bytes, (int)(7 + i), sizeof(bytes));
		assert_int_equal(lazymem_backing_write(overlay, blocks[i] * BLOCK, bytes,
						       i == 3 ? BLOCK - 9 : BLOCK),
				 0);
	}
	assert_int_equal(lazymem_backing_flush(overlay), 0);
	lazymem_backing_unref(overlay);
	assert_int_equal(lazymem_overlay_open(path, zero, &options, &overlay), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(lazymem_backing_read(overlay, blocks[i] * BLOCK, bytes, 100), 0);
		assert_int_equal(bytes[0], 7 + i);
		assert_int_equal(bytes[99], 7 + i);
	}
	assert_int_equal(lazymem_backing_read(overlay, BLOCK, bytes, BLOCK), 0);
	assert_int_equal(bytes[0], 0);
	lazymem_backing_unref(overlay);
	lazymem_backing_unref(zero);
	free(path);
	sample_remove_directory(directory);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(random_changes_and_flushes),
		CASE(nothing_new_is_not_staged),
		CASE(only_sectors_that_changed_are_staged),
		CASE(scattered_sectors_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
