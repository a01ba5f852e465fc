/* SPDX-License-Identifier: MIT
 *
 * stack_index_test.c - the flat index of a stack, held against a plain array
 * that has one entry for each page.
 */
#include "backing/stack.h"
#include "layer_fixture.h"

#define PAGES 400
#define MOST_LAYERS 9

/* Where a page comes from: nowhere (zeros), or page `skip` of chunk `chunk` of a layer. */
struct origin {
	bool is_stored;
	size_t layer;
	size_t chunk;
	uint64_t skip;
};

struct stacked {
	struct layer layers[MOST_LAYERS];
	struct lm_stack_source sources[MOST_LAYERS];
	size_t count;
	struct origin origins[PAGES];
};

static void note_origins(struct stacked *stacked, size_t number)
{
	const struct layer *layer = &stacked->layers[number];

	for (size_t i = 0; i < layer->chunk_count; i++) {
		const struct lm_chunk *chunk = &layer->chunks[i];

		for (uint64_t skip = 0; skip < chunk->count; skip++)
			if (chunk->kind != LAZYMEM_CHUNK_PARENT)
				stacked->origins[chunk->page + skip] = (struct origin){
					chunk->kind != LAZYMEM_CHUNK_ZERO, number, i, skip};
	}
}

static void stacked_create(struct stacked *stacked, size_t count)
{
	unsigned char *memory = calloc(PAGES, PAGE);

	*stacked = (struct stacked){.count = count};
	for (size_t i = count; i-- > 0;) {
		struct layer *layer = &stacked->layers[i];

		layer_create(layer, memory, PAGES, i != count - 1);
		for (size_t j = 0; j < layer->chunk_count; j++)
			layer->chunks[j].layer = (uint16_t)i;
		stacked->sources[i] = (struct lm_stack_source){.sums = layer->sums,
							       .chunks = layer->chunks,
							       .chunk_count = layer->chunk_count};
		note_origins(stacked, i);
	}
	free(memory);
}

static void stacked_destroy(struct stacked *stacked)
{
	for (size_t i = 0; i < stacked->count; i++)
		layer_destroy(&stacked->layers[i]);
}

/* Does the index say of `page`, which is in `chunk`, where it comes from? */
static void assert_origin(const struct stacked *stacked, const struct lm_chunk *chunk,
			  uint64_t page)
{
	const struct origin *origin = &stacked->origins[page];
	const struct lm_chunk *stored = &stacked->layers[origin->layer].chunks[origin->chunk];

	if (!origin->is_stored) {
		assert_int_equal(chunk->kind, LAZYMEM_CHUNK_ZERO);
		return;
	}
	assert_int_equal(chunk->layer, origin->layer);
	if (stored->kind == LAZYMEM_CHUNK_RAW) {
		assert_int_equal(chunk->kind, LAZYMEM_CHUNK_RAW);
		assert_int_equal(chunk->position + (page - chunk->page) * PAGE,
				 stored->position + origin->skip * PAGE);
		assert_int_equal(chunk->checksum + (page - chunk->page),
				 stored->checksum + origin->skip);
	} else {
		assert_int_equal(chunk->kind, LM_CHUNK_REFERENCE);
		assert_int_equal(chunk->position, origin->chunk);
	}
}

static void flat_index_tells_the_origin_of_every_page(void **state)
{
	(void)state;
	for (int round = 0; round < 60; round++) {
		struct stacked stacked;
		struct lm_chunk *flat;
		uint64_t page = 0, most = 0;
		size_t count;

		stacked_create(&stacked, 1 + random_below(MOST_LAYERS));
		assert_int_equal(
			lm_stack_flatten(stacked.sources, stacked.count, 12, &flat, &count), 0);
		for (size_t i = 0; i < stacked.count; i++)
			most += stacked.layers[i].chunk_count;
		assert_true(count <= most);
		for (size_t i = 0; i < count; i++) {
			assert_int_equal(flat[i].page, page);
			assert_true(flat[i].count > 0);
			for (uint32_t j = 0; j < flat[i].count; j++)
				assert_origin(&stacked, &flat[i], page++);
		}
		assert_int_equal(page, PAGES);
		free(flat);
		stacked_destroy(&stacked);
	}
}

static void neighbours_that_are_stored_side_by_side_become_one(void **state)
{
	const struct lm_chunk raw[] = {
		{.page = 0, .count = 4, .kind = LAZYMEM_CHUNK_RAW, .position = 8192, .checksum = 0},
		{.page = 4,
		 .count = 3,
		 .kind = LAZYMEM_CHUNK_RAW,
		 .position = 8192 + 4 * PAGE,
		 .checksum = 4},
		{.page = 7, .count = 1, .kind = LAZYMEM_CHUNK_ZERO},
		{.page = 8, .count = 2, .kind = LAZYMEM_CHUNK_ZERO}};
	const uint32_t sums[7] = {0};
	const struct lm_stack_source source = {.sums = sums, .chunks = raw, .chunk_count = 4};
	struct lm_chunk *flat;
	size_t count;

	(void)state;
	assert_int_equal(lm_stack_flatten(&source, 1, 12, &flat, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(flat[0].count, 7);
	assert_int_equal(flat[1].count, 3);
	free(flat);
}

static void neighbours_whose_checksums_lie_apart_stay_two(void **state)
{
	const struct lm_chunk raw[] = {
		{.page = 0, .count = 2, .kind = LAZYMEM_CHUNK_RAW, .position = 8192, .checksum = 3},
		{.page = 2,
		 .count = 3,
		 .kind = LAZYMEM_CHUNK_RAW,
		 .position = 8192 + 2 * PAGE,
		 .checksum = 0}};
	const uint32_t sums[5] = {0};
	const struct lm_stack_source source = {.sums = sums, .chunks = raw, .chunk_count = 2};
	struct lm_chunk *flat;
	size_t count;

	(void)state;
	assert_int_equal(lm_stack_flatten(&source, 1, 12, &flat, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(flat[1].checksum, 0);
	free(flat);
}

static void runs_are_not_joined_past_what_a_count_holds(void **state)
{
	const struct lm_chunk zeros[] = {{.page = 0, .count = UINT32_MAX},
					 {.page = UINT32_MAX, .count = UINT32_MAX}};
	const struct lm_stack_source source = {.chunks = zeros, .chunk_count = 2};
	struct lm_chunk *flat;
	size_t count;

	(void)state;
	assert_int_equal(lm_stack_flatten(&source, 1, 12, &flat, &count), 0);
	assert_int_equal(count, 2);
	free(flat);
}

enum { BASE_CHUNKS = 200000, BASE_PAGES = 2 };

/* Nanoseconds that it takes to flatten small layers over a large base. Nothing
 * is read, so that all chunks may say that they are of the first layer. */
static uint64_t time_of_flattening(size_t layers)
{
	struct lm_stack_source *sources = calloc(layers + 1, sizeof(*sources));
	struct lm_chunk *base = calloc(BASE_CHUNKS, sizeof(*base));
	const struct lm_chunk small[] = {
		{.page = 0, .count = 7, .kind = LAZYMEM_CHUNK_PARENT},
		{.page = 7, .count = 2, .kind = LAZYMEM_CHUNK_ZERO},
		{.page = 9, .count = BASE_CHUNKS * BASE_PAGES - 9, .kind = LAZYMEM_CHUNK_PARENT}};
	struct timespec start, end;
	struct lm_chunk *flat;
	size_t count;

	for (size_t i = 0; i < BASE_CHUNKS; i++)
		base[i] = (struct lm_chunk){.page = i * BASE_PAGES,
					    .count = BASE_PAGES,
					    .kind = i % 2 == 0 ? LAZYMEM_CHUNK_RAW
							       : LAZYMEM_CHUNK_ZERO,
					    .position = (i + 1) * BASE_PAGES * PAGE};
	for (size_t i = 0; i < layers; i++)
		sources[i] = (struct lm_stack_source){.chunks = small, .chunk_count = 3};
	sources[layers] = (struct lm_stack_source){.chunks = base, .chunk_count = BASE_CHUNKS};
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	assert_int_equal(lm_stack_flatten(sources, layers + 1, 12, &flat, &count), 0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	assert_in_range(count, BASE_CHUNKS, BASE_CHUNKS + 3);
	free(flat);
	free(base);
	free(sources);
	return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000 + (uint64_t)end.tv_nsec -
	       (uint64_t)start.tv_nsec;
}

static void small_layers_over_a_large_base_cost_little(void **state)
{
	uint64_t one = UINT64_MAX, many = UINT64_MAX;

	(void)state;
	for (int i = 0; i < 3; i++) {
		const uint64_t again_one = time_of_flattening(1);
		const uint64_t again_many = time_of_flattening(64);

		one = again_one < one ? again_one : one;
		many = again_many < many ? again_many : many;
	}
	assert_true(many < 6 * one);
}

/* Chunks of `longest` units at most, at random. */
static struct lm_chunk *make_chunks(size_t count, uint64_t longest, uint64_t *ret_units)
{
	struct lm_chunk *chunks = calloc(count, sizeof(*chunks));
	uint64_t unit = 0;

	for (size_t i = 0; i < count; i++) {
		chunks[i].page = unit;
		chunks[i].count = (uint32_t)(1 + random_below(longest));
		unit += chunks[i].count;
	}
	*ret_units = unit;
	return chunks;
}

/* Find bytes at random among `count` chunks, with `starts` when there are enough. */
static void check_search(size_t count, uint64_t longest, unsigned shift)
{
	struct lm_stack_index index = {.count = count, .shift = shift};
	uint64_t units;
	struct lm_chunk *chunks = make_chunks(count, longest, &units);

	index.chunks = chunks;
	lm_stack_index_prepare(&index, units << shift);
	for (int i = 0; i < 2000; i++) {
		const uint64_t offset =
			i == 0 ? (units << shift) - 1 : random_below(units << shift);
		const struct lm_chunk *found = lm_stack_find(&index, offset);

		assert_in_range(found - chunks, 0, count - 1);
		assert_true(lm_stack_start(&index, found) <= offset);
		assert_true(offset < lm_stack_end(&index, found));
	}
	free(index.starts);
	free(chunks);
}

static void every_byte_is_found_in_its_chunk(void **state)
{
	(void)state;
	check_search(1, 100, 12);
	check_search(63, 100, 12);
	check_search(64, 1, 12);
	check_search(5000, 1, 12);
	check_search(5000, 1000, 12);
	check_search(5000, UINT32_MAX, 12);
	check_search(64, 3, 0);
	check_search(5000, 100000, 0);
}

static void uneven_chunks_are_found(void **state)
{
	struct lm_chunk chunks[1000];
	struct lm_stack_index index = {.chunks = chunks, .count = 1000, .shift = 12};
	uint64_t page = 0;

	(void)state;
	for (size_t i = 0; i < 1000; i++) {
		chunks[i] = (struct lm_chunk){.page = page, .count = i == 500 ? 1u << 30 : 1};
		page += chunks[i].count;
	}
	lm_stack_index_prepare(&index, page * PAGE);
	assert_non_null(index.starts);
	for (size_t i = 0; i < 1000; i++) {
		assert_ptr_equal(lm_stack_find(&index, chunks[i].page * PAGE), &chunks[i]);
		assert_ptr_equal(lm_stack_find(&index, lm_stack_end(&index, &chunks[i]) - 1),
				 &chunks[i]);
	}
	free(index.starts);
}

static void index_with_a_gap_an_overlap_or_a_parent_is_unsound(void **state)
{
	struct lm_chunk chunks[] = {{.page = 0, .count = 2},
				    {.page = 2, .count = 3, .kind = LAZYMEM_CHUNK_RAW}};
	const struct lm_stack_index index = {.chunks = chunks, .count = 2, .shift = 12};

	(void)state;
	assert_true(lm_stack_index_is_sound(&index, 1, 5 * PAGE - 10));
	assert_false(lm_stack_index_is_sound(&index, 1, 5 * PAGE + 1));
	chunks[1].page = 3;
	assert_false(lm_stack_index_is_sound(&index, 1, 5 * PAGE));
	chunks[1].page = 1;
	assert_false(lm_stack_index_is_sound(&index, 1, 4 * PAGE));
	chunks[1].page = 2;
	chunks[1].layer = 1;
	assert_false(lm_stack_index_is_sound(&index, 1, 5 * PAGE));
	chunks[1].layer = 0;
	chunks[1].kind = LAZYMEM_CHUNK_PARENT;
	assert_false(lm_stack_index_is_sound(&index, 1, 5 * PAGE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flat_index_tells_the_origin_of_every_page),
		cmocka_unit_test(neighbours_that_are_stored_side_by_side_become_one),
		cmocka_unit_test(neighbours_whose_checksums_lie_apart_stay_two),
		cmocka_unit_test(runs_are_not_joined_past_what_a_count_holds),
		cmocka_unit_test(small_layers_over_a_large_base_cost_little),
		cmocka_unit_test(every_byte_is_found_in_its_chunk),
		cmocka_unit_test(uneven_chunks_are_found),
		cmocka_unit_test(index_with_a_gap_an_overlap_or_a_parent_is_unsound),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
