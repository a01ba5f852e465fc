/* SPDX-License-Identifier: MIT */
#include "model.h"

/* Every test sees make_three: [0x1000+0x2000] [0x3000+0x2000] [0x8000+0x1000]. */
static int set_up(void **state)
{
	*state = make_three();
	return 0;
}

static int tear_down(void **state)
{
	lazymem_memory_unref(*state);
	return 0;
}

static unsigned char *host_at(struct lazymem_memory *memory, size_t region, size_t offset)
{
	return host_of(lazymem_region_mapping(lazymem_memory_region(memory, region))) + offset;
}

/* ---- find ---------------------------------------------------------------- */

static void find_gives_region_and_offset(void **state)
{
	static const struct {
		uint64_t address;
		size_t region;
		uint64_t offset;
	} rows[] = {
		{0x1000, 0, 0},      {0x2fff, 0, 0x1fff}, {0x3000, 1, 0},
		{0x4fff, 1, 0x1fff}, {0x8000, 2, 0},      {0x8fff, 2, 0xfff},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lazymem_region *region = NULL;
		uint64_t offset = UINT64_MAX;

		assert_int_equal(lazymem_memory_find(*state, AT(rows[i].address), &region, &offset),
				 0);
		assert_ptr_equal(region, lazymem_memory_region(*state, rows[i].region));
		assert_int_equal(offset, rows[i].offset);
	}
}

static void find_refuses_addresses_between_and_around_regions(void **state)
{
	static const uint64_t wrong[] = {0, 0xfff, 0x5000, 0x7fff, 0x9000, UINT64_MAX};
	struct lazymem_region *region = NULL;
	uint64_t offset = 7;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(lazymem_memory_find(*state, AT(wrong[i]), &region, &offset),
				 -EFAULT);
	assert_says("0xffffffffffffffff");
	assert_null(region);
	assert_int_equal(offset, 7);
}

static void find_reaches_the_last_address(void **state)
{
	struct lazymem_region *last = make_region(UINT64_MAX - PAGE + 1, PAGE);
	struct lazymem_memory *memory = make_memory(&last, 1);
	struct lazymem_region *region = NULL;
	uint64_t offset = 0;

	(void)state;
	assert_int_equal(lazymem_memory_find(memory, AT(UINT64_MAX), &region, &offset), 0);
	assert_int_equal(offset, PAGE - 1);
	lazymem_memory_unref(memory);
}

static void find_agrees_with_a_search_of_every_region(void **state)
{
	enum { COUNT = 33 };
	struct lazymem_region *regions[COUNT];
	struct lazymem_memory *memory;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		regions[i] = make_region((i * 7 % COUNT) * 4 * PAGE, (i % 3 + 1) * PAGE);
	memory = make_memory(regions, COUNT);
	for (uint64_t address = 0; address < (COUNT + 1) * 4 * PAGE; address += PAGE / 2) {
		struct lazymem_region *expected = NULL, *found = NULL;
		uint64_t offset;

		for (size_t i = 0; i < COUNT; i++) {
			struct lazymem_region *region = lazymem_memory_region(memory, i);
			const uint64_t base = lazymem_region_base(region).value;

			if (address >= base && address < base + lazymem_region_length(region))
				expected = region;
		}
		lazymem_memory_find(memory, AT(address), &found, &offset);
		assert_ptr_equal(found, expected);
	}
	lazymem_memory_unref(memory);
}

/* ---- span ---------------------------------------------------------------- */

static void span_is_cut_where_its_region_ends(void **state)
{
	struct lazymem_span span = {0};

	assert_int_equal(lazymem_memory_span(*state, AT(0x2ffe), 10, &span), 0);
	assert_ptr_equal(span.host, host_at(*state, 0, 0x1ffe));
	assert_int_equal(span.length, 2);
}

static void span_is_no_longer_than_asked(void **state)
{
	struct lazymem_span span = {0};

	assert_int_equal(lazymem_memory_span(*state, AT(0x1001), 10, &span), 0);
	assert_ptr_equal(span.host, host_at(*state, 0, 1));
	assert_int_equal(span.length, 10);
	assert_int_equal(lazymem_memory_span(*state, AT(0x1000), SIZE_MAX, &span), 0);
	assert_int_equal(span.length, 0x2000);
}

static void span_of_nothing_or_nowhere_is_refused(void **state)
{
	struct lazymem_span span = {state, 7};

	assert_int_equal(lazymem_memory_span(*state, AT(0x1000), 0, &span), -EINVAL);
	assert_int_equal(lazymem_memory_span(*state, AT(0x5000), 1, &span), -EFAULT);
	assert_says("0x5000");
	assert_ptr_equal(span.host, state);
	assert_int_equal(span.length, 7);
}

/* ---- spans and iovecs ---------------------------------------------------- */

static void spans_cover_adjacent_regions(void **state)
{
	struct lazymem_span spans[2];
	size_t count = 0;

	assert_int_equal(lazymem_memory_spans(*state, AT(0x2ff0), 0x30, spans, 2, &count), 0);
	assert_int_equal(count, 2);
	assert_ptr_equal(spans[0].host, host_at(*state, 0, 0x1ff0));
	assert_int_equal(spans[0].length, 0x10);
	assert_ptr_equal(spans[1].host, host_at(*state, 1, 0));
	assert_int_equal(spans[1].length, 0x20);
}

static void spans_up_to_the_boundary_stay_in_one_region(void **state)
{
	struct lazymem_span spans[2];
	size_t count = 0;

	assert_int_equal(lazymem_memory_spans(*state, AT(0x2ff0), 0x10, spans, 2, &count), 0);
	assert_int_equal(count, 1);
	assert_int_equal(lazymem_memory_spans(*state, AT(0x2ff0), 0x11, spans, 2, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(spans[1].length, 1);
}

static void spans_may_cover_all_of_two_regions(void **state)
{
	struct lazymem_span spans[2];
	size_t count = 0;

	assert_int_equal(lazymem_memory_spans(*state, AT(0x1000), 0x4000, spans, 2, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(lazymem_memory_spans(*state, AT(0x1000), 0x4001, spans, 2, &count),
			 -EFAULT);
	assert_says("0x5000");
}

static void iovecs_are_the_same_pieces(void **state)
{
	struct iovec iovecs[2];
	size_t count = 0;

	assert_int_equal(lazymem_memory_iovecs(*state, AT(0x2ff0), 0x30, iovecs, 2, &count), 0);
	assert_int_equal(count, 2);
	assert_ptr_equal(iovecs[0].iov_base, host_at(*state, 0, 0x1ff0));
	assert_int_equal(iovecs[0].iov_len, 0x10);
	assert_ptr_equal(iovecs[1].iov_base, host_at(*state, 1, 0));
	assert_int_equal(iovecs[1].iov_len, 0x20);
}

static void wrong_ranges_leave_spans_and_iovecs_untouched(void **state)
{
	static const struct {
		uint64_t address;
		size_t length;
		size_t capacity;
		int error;
	} rows[] = {
		{0x1000, 0, 2, -EINVAL},
		{0x0fff, 2, 2, -EFAULT},
		{0x4fff, 2, 2, -EFAULT},
		{0x5000, 1, 2, -EFAULT},
		{0x8000, UINT64_MAX - 0x7fff, 2, -EFAULT},
		{0x8000, UINT64_MAX - 0x7ffe, 2, -EOVERFLOW},
		{0x2fff, 2, 1, -ENOBUFS},
		{0x1000, 1, 0, -ENOBUFS},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct lazymem_span spans[2] = {{NULL, 7}, {NULL, 7}};
		struct iovec iovecs[2] = {{NULL, 7}, {NULL, 7}};
		size_t count = 9;

		assert_int_equal(lazymem_memory_spans(*state, AT(rows[i].address), rows[i].length,
						      spans, rows[i].capacity, &count),
				 rows[i].error);
		assert_int_equal(lazymem_memory_iovecs(*state, AT(rows[i].address), rows[i].length,
						       iovecs, rows[i].capacity, &count),
				 rows[i].error);
		assert_int_equal(count, 9);
		assert_int_equal(spans[0].length, 7);
		assert_int_equal(iovecs[0].iov_len, 7);
	}
	assert_says("crosses 1 regions, there is room for 0");
}

/* ---- descriptor ---------------------------------------------------------- */

static void fd_and_offset_point_at_the_same_byte(void **state)
{
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	uint64_t offset = 0, length = 0;
	unsigned char byte = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(lazymem_mapping_create_memfd(2 * PAGE, NULL, &mapping), 0);
	host_of(mapping)[PAGE + 5] = 9;
	region = make_region_of(mapping, 0x4000);
	memory = make_memory(&region, 1);
	assert_int_equal(lazymem_memory_fd(memory, AT(0x5005), 100, &fd, &offset, &length), 0);
	assert_int_equal(length, 100);
	assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
	assert_int_equal(byte, 9);
	assert_int_equal(lazymem_memory_fd(memory, AT(0x5005), UINT64_MAX, &fd, &offset, &length),
			 0);
	assert_int_equal(length, PAGE - 5);
	lazymem_memory_unref(memory);
}

static void fd_of_a_file_counts_from_the_start_of_the_file(void **state)
{
	const int file = make_file(3 * PAGE, 'f');
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	uint64_t offset = 0, length = 0;
	int fd = -1;

	(void)state;
	assert_int_equal(lazymem_mapping_create_file(file, PAGE, 2 * PAGE, true, NULL, &mapping),
			 0);
	region = make_region_of(mapping, 0x4000);
	memory = make_memory(&region, 1);
	assert_int_equal(lazymem_memory_fd(memory, AT(0x5000), 1, &fd, &offset, &length), 0);
	assert_int_equal(offset, 2 * PAGE);
	lazymem_memory_unref(memory);
	close(file);
}

static void fd_of_nothing_nowhere_or_anonymous_is_refused(void **state)
{
	uint64_t offset = 7, length = 7;
	int fd = 7;

	assert_int_equal(lazymem_memory_fd(*state, AT(0x1000), 1, &fd, &offset, &length), -ENOENT);
	assert_int_equal(lazymem_memory_fd(*state, AT(0x1000), 0, &fd, &offset, &length), -EINVAL);
	assert_int_equal(lazymem_memory_fd(*state, AT(0x5000), 1, &fd, &offset, &length), -EFAULT);
	assert_int_equal(fd, 7);
	assert_int_equal(offset, 7);
	assert_int_equal(length, 7);
}

#define on_three(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		on_three(find_gives_region_and_offset),
		on_three(find_refuses_addresses_between_and_around_regions),
		on_three(find_reaches_the_last_address),
		on_three(find_agrees_with_a_search_of_every_region),
		on_three(span_is_cut_where_its_region_ends),
		on_three(span_is_no_longer_than_asked),
		on_three(span_of_nothing_or_nowhere_is_refused),
		on_three(spans_cover_adjacent_regions),
		on_three(spans_up_to_the_boundary_stay_in_one_region),
		on_three(spans_may_cover_all_of_two_regions),
		on_three(iovecs_are_the_same_pieces),
		on_three(wrong_ranges_leave_spans_and_iovecs_untouched),
		on_three(fd_and_offset_point_at_the_same_byte),
		on_three(fd_of_a_file_counts_from_the_start_of_the_file),
		on_three(fd_of_nothing_nowhere_or_anonymous_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
