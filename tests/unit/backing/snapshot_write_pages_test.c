/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_pages_test.c - what is stored of pages of each kind, and what
 * is read for that.
 */
#include "write_fixture.h"

#include <lazymem/inject.h>

static struct memory memory;
static char *path;

static int set_up(void **state)
{
	make_directory(state);
	path = path_of("snapshot");
	return 0;
}

static int tear_down(void **state)
{
	lazymem_backing_unref(memory.backing);
	memory.backing = NULL;
	free(path);
	return remove_directory(state);
}

/* ---- kinds of pages ------------------------------------------------------ */

static void memory_comes_back(void **state)
{
	(void)state;
	make_memory(&memory, "dzhrrdddhhhz", 700 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	assert_holds(path, &memory);
	assert_int_equal(files_in_directory(), 1);
}

static void memory_comes_back_from_chunks_of_every_size(void **state)
{
	static const enum lazymem_chunk_kind kinds[] = {LAZYMEM_CHUNK_LZ4, LAZYMEM_CHUNK_ZSTD};

	(void)state;
	make_memory(&memory, "ddddddddddddddddddddddddddrdhddddddddddz", 700 * PAGE);
	for (size_t i = 0; i < 2; i++) {
		struct lazymem_snapshot_plan plan = plan_of(memory.backing);

		if (!lazymem_snapshot_supports(kinds[i]))
			continue;
		plan.compression = kinds[i];
		for (plan.chunk_size = PAGE; plan.chunk_size <= 64 * PAGE; plan.chunk_size *= 2) {
			write_snapshot(path, &plan);
			assert_holds(path, &memory);
			assert_true(layer_of(path).pages[kinds[i]] > 500);
		}
	}
}

static void last_page_that_is_cut_off_comes_back(void **state)
{
	(void)state;
	make_memory(&memory, "d", 3 * PAGE + 1);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	assert_holds(path, &memory);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 4);
}

static void pages_of_zeros_are_not_stored(void **state)
{
	(void)state;
	make_memory(&memory, "dzhz", 400 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 100);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_ZERO], 300);
	assert_true(layer_of(path).file_length < 110 * PAGE);
}

static void neighbours_are_one_chunk(void **state)
{
	(void)state;
	make_memory(&memory, "r", 3000 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	assert_int_equal(layer_of(path).chunk_count, 1);
}

static void holes_are_passed_over_however_large(void **state)
{
	(void)state;
	make_memory(&memory, "h", UINT64_C(1) << 50);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	assert_int_equal(memory.bytes_read, 0);
	/* a chunk counts its pages in 32 bits */
	assert_int_equal(layer_of(path).chunk_count, 65);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_ZERO], UINT64_C(1) << 38);
}

static void what_cannot_be_compressed_is_stored_as_it_is(void **state)
{
	(void)state;
	if (!lazymem_snapshot_supports(LAZYMEM_CHUNK_LZ4))
		skip();
	make_memory(&memory, "rrrrdddd", 400 * PAGE);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	plan.compression = LAZYMEM_CHUNK_LZ4;
	write_snapshot(path, &plan);
	assert_holds(path, &memory);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 200);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_LZ4], 200);
}

static void what_saves_less_than_an_eighth_is_stored_as_it_is(void **state)
{
	static const enum lazymem_chunk_kind kinds[] = {LAZYMEM_CHUNK_LZ4, LAZYMEM_CHUNK_ZSTD};

	(void)state;
	make_memory(&memory, "p", 100 * PAGE);
	for (size_t i = 0; i < 2; i++) {
		struct lazymem_snapshot_plan plan = plan_of(memory.backing);

		if (!lazymem_snapshot_supports(kinds[i]))
			continue;
		plan.compression = kinds[i];
		write_snapshot(path, &plan);
		assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 100);
		assert_int_equal(layer_of(path).pages[kinds[i]], 0);
	}
}

/* ---- holes that begin and end within pages ------------------------------- */

/* Four pages: bytes [100, 5000) and [8192, 9000) are holes, the rest is data. */
static const struct lazymem_extent ragged_extents[] = {
	{0, 100, LAZYMEM_EXTENT_DATA},     {100, 4900, LAZYMEM_EXTENT_ZERO},
	{5000, 3192, LAZYMEM_EXTENT_DATA}, {8192, 808, LAZYMEM_EXTENT_ZERO},
	{9000, 7384, LAZYMEM_EXTENT_DATA},
};

static int ragged_extent(void *object, uint64_t offset, uint64_t length,
			 struct lazymem_extent *ret_extent)
{
	const struct lazymem_extent *extent = ragged_extents;
	uint64_t end;

	(void)object;
	while (offset >= extent->start + extent->length)
		extent++;
	end = extent->start + extent->length;
	*ret_extent = (struct lazymem_extent){offset, end < offset + length ? end - offset : length,
					      extent->kind};
	return 0;
}

static void ragged_read(void *object, struct lazymem_read *read)
{
	memcpy(read->buffer, (unsigned char *)object + read->offset, read->length);
	lazymem_read_complete(read, 0);
}

static void page_that_is_partly_in_a_hole_is_read(void **state)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations), .read = ragged_read, .extent = ragged_extent};
	unsigned char bytes[4 * 4096], page[4096];

	(void)state;
	memset(bytes, 7, sizeof(bytes));
	memset(bytes + 100, 0, 4900);
	memset(bytes + 8192, 0, 808);
	assert_int_equal(lazymem_backing_create(&operations, bytes, sizeof(bytes), "ragged",
						&memory.backing),
			 0);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	struct lazymem_snapshot *snapshot = open_snapshot(path);

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(lazymem_backing_read(lazymem_snapshot_backing(snapshot), i * PAGE,
						      page, PAGE),
				 0);
		assert_memory_equal(page, bytes + i * PAGE, PAGE);
	}
	lazymem_snapshot_unref(snapshot);
}

/* Extents of a page each, as an object with a fragmented index has them. */
static void count_read(void *context, const struct lazymem_inject_read *read)
{
	(void)read;
	++*(unsigned *)context;
}

static int page_extent(void *object, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	(void)object;
	*ret_extent =
		(struct lazymem_extent){offset, length < PAGE ? length : PAGE, LAZYMEM_EXTENT_DATA};
	return 0;
}

static void short_extents_are_read_together(void **state)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations), .read = memory_read, .extent = page_extent};
	static struct memory pages = {.letters = "d"};
	struct lazymem_backing *recorded;
	unsigned reads = 0;

	(void)state;
	assert_int_equal(
		lazymem_backing_create(&operations, &pages, 1024 * PAGE, "pages", &memory.backing),
		0);
	assert_int_equal(lazymem_inject_record(memory.backing, count_read, &reads, &recorded), 0);
	const struct lazymem_snapshot_plan plan = plan_of(recorded);

	write_snapshot(path, &plan);
	assert_int_equal(reads, 4);
	lazymem_backing_unref(recorded);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(memory_comes_back),
		in_directory(memory_comes_back_from_chunks_of_every_size),
		in_directory(last_page_that_is_cut_off_comes_back),
		in_directory(pages_of_zeros_are_not_stored),
		in_directory(neighbours_are_one_chunk),
		in_directory(holes_are_passed_over_however_large),
		in_directory(what_cannot_be_compressed_is_stored_as_it_is),
		in_directory(what_saves_less_than_an_eighth_is_stored_as_it_is),
		in_directory(page_that_is_partly_in_a_hole_is_read),
		in_directory(short_extents_are_read_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
