/* SPDX-License-Identifier: MIT
 *
 * stack_test.c - a stack's extents, identity, readahead and end.
 */
#include "stack_fixture.h"

#define LENGTH (300 * PAGE + 1234)

/* Is the page of the memory zeros by its index? */
static bool is_zero_page(const struct stacked *stacked, uint64_t page)
{
	for (size_t i = 0; i < stacked->count; i++) {
		const struct layer *layer = &stacked->layers[i];
		const struct lm_chunk *chunk = layer->chunks;

		while (chunk->page + chunk->count <= page)
			chunk++;
		if (chunk->kind != LAZYMEM_CHUNK_PARENT)
			return chunk->kind == LAZYMEM_CHUNK_ZERO;
	}
	return true;
}

static void extents_tell_zeros_from_data(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		struct stacked stacked;

		stacked_create(&stacked, 1 + random_below(4), LENGTH, AT_ONCE);
		for (int i = 0; i < 200; i++) {
			const uint64_t offset = random_below(LENGTH);
			const uint64_t length = 1 + random_below(LENGTH - offset);
			struct lazymem_extent extent;
			bool is_zero;

			assert_int_equal(
				lazymem_backing_extent(stacked.backing, offset, length, &extent),
				0);
			is_zero = extent.kind == LAZYMEM_EXTENT_ZERO;
			for (uint64_t page = offset / PAGE; page * PAGE < offset + extent.length;
			     page++)
				assert_int_equal(is_zero_page(&stacked, page), is_zero);
		}
		stacked_destroy(&stacked);
	}
}

/* A stack of one file with so many chunks of a page each. */
static void create_even(struct stacked *stacked, struct lm_chunk *chunks, size_t count)
{
	*stacked = (struct stacked){.count = 1, .length = count * PAGE};
	stacked->layers[0].chunks = chunks;
	stacked->layers[0].chunk_count = count;
	stacked->layers[0].length = count * PAGE;
	for (size_t i = 0; i < count; i++) {
		chunks[i].page = i;
		chunks[i].count = 1;
	}
	stacked_publish(stacked, AT_ONCE);
}

static void neighbours_alike_are_one_extent_up_to_a_bound(void **state)
{
	struct lm_chunk *chunks = calloc(1000, sizeof(*chunks));
	struct lazymem_extent extent;
	struct stacked stacked;

	(void)state;
	create_even(&stacked, chunks, 1000);
	assert_int_equal(lazymem_backing_extent(stacked.backing, 0, 100 * PAGE, &extent), 0);
	assert_int_equal(extent.length, 100 * PAGE);
	assert_int_equal(lazymem_backing_extent(stacked.backing, 0, 1000 * PAGE, &extent), 0);
	assert_in_range(extent.length, 200 * PAGE, 1000 * PAGE);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	stacked_destroy(&stacked);
}

static void stack_without_an_identity_says_so(void **state)
{
	struct lazymem_identity identity;
	struct stacked stacked;

	(void)state;
	stacked_create(&stacked, 2, LENGTH, AT_ONCE);
	assert_int_equal(lazymem_backing_identity(stacked.backing, &identity), -ENODATA);
	stacked_destroy(&stacked);
}

static void readahead_reaches_what_is_stored_in_as_few_calls_as_runs(void **state)
{
	struct lm_chunk *chunks = calloc(100, sizeof(*chunks));
	const uint32_t sums[100] = {0};
	struct stacked stacked;

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		if (i >= 50 && i < 60)
			continue;
		chunks[i].kind = LAZYMEM_CHUNK_RAW;
		chunks[i].position = (i + 1) * PAGE;
	}
	stacked.layers[0].sums = NULL;
	create_even(&stacked, chunks, 100);
	stacked.sources[0].sums = sums;
	lazymem_backing_readahead(stacked.backing, 10 * PAGE + 5, 30 * PAGE);
	assert_int_equal(stacked.scripts[0].advised, 1);
	assert_int_equal(stacked.scripts[0].advised_start, 11 * PAGE + 5);
	assert_int_equal(stacked.scripts[0].advised_end, 41 * PAGE + 5);
	lazymem_backing_readahead(stacked.backing, 50 * PAGE, 10 * PAGE);
	assert_int_equal(stacked.scripts[0].advised, 1);
	lazymem_backing_readahead(stacked.backing, 45 * PAGE, 20 * PAGE);
	assert_int_equal(stacked.scripts[0].advised, 3);
	stacked_destroy(&stacked);
}

static void readahead_reaches_the_files_that_the_read_needs(void **state)
{
	unsigned char *buffer = malloc(LENGTH);

	(void)state;
	for (int round = 0; round < 50; round++) {
		const uint64_t offset = random_below(LENGTH);
		const uint64_t length = 1 + random_below(LENGTH - offset);
		struct stacked stacked;

		stacked_create(&stacked, 3, LENGTH, AT_ONCE);
		lazymem_backing_readahead(stacked.backing, offset, length);
		assert_int_equal(lazymem_backing_read(stacked.backing, offset, buffer, length), 0);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(stacked.scripts[i].reads > 0,
					 stacked.scripts[i].advised > 0);
		stacked_destroy(&stacked);
	}
	free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(extents_tell_zeros_from_data),
		cmocka_unit_test(neighbours_alike_are_one_extent_up_to_a_bound),
		cmocka_unit_test(stack_without_an_identity_says_so),
		cmocka_unit_test(readahead_reaches_what_is_stored_in_as_few_calls_as_runs),
		cmocka_unit_test(readahead_reaches_the_files_that_the_read_needs),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
