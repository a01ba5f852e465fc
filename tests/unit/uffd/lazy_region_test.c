/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * lazy_region_test.c - what a region is made of, extents in pages, and the
 * count of 2 MiB blocks.
 */
#include "stage.h"

#include "core/mapping.h"

#define FULL (LM_BLOCK / PAGE)

/* ---- making -------------------------------------------------------------- */

static void region_is_described_by_its_objects(void **state)
{
	const struct lm_lazy_region *region = &stage.regions[0];

	(void)state;
	assert_int_equal(region->guest, GUEST);
	assert_ptr_equal(region->host, lazymem_mapping_span(region->mapping).host);
	assert_int_equal(region->length, 32 * PAGE);
	assert_int_equal(region->page_size, PAGE);
	assert_int_equal(region->page_shift, 12);
	assert_int_equal(region->map.count, 32);
	assert_int_equal(region->blocks, 0);
}

static void private_memory_has_no_alias(void **state)
{
	(void)state;
	assert_null(stage.regions[0].alias);
}

static void alias_is_the_same_memory(void **state)
{
	const struct lm_lazy_region *region = &stage.regions[0];

	(void)state;
	assert_ptr_not_equal(region->alias, region->host);
	*lm_lazy_region_alias(region, 7) = 'x';
	assert_int_equal(*lm_lazy_region_host(region, 7), 'x');
}

static struct lazymem_region *object_of(struct lazymem_mapping *mapping)
{
	struct lazymem_backing *backing = lazymem_region_backing(stage.objects[0]);
	struct lazymem_region *object = NULL;

	assert_int_equal(lazymem_region_create(mapping, (lazymem_guest_address){0x8000}, backing, 0,
					       &object),
			 0);
	lazymem_mapping_unref(mapping);
	return object;
}

/* Make a lazily filled region of a mapping; its result. */
static int create_of(struct lazymem_mapping *mapping, bool fresh)
{
	struct lm_lazy_region lazy = {.mapping = mapping};
	struct lazymem_region *object = object_of(mapping);
	int error = lm_lazy_region_create(object, fresh, &lazy);

	lm_lazy_region_destroy(&lazy);
	lazymem_region_unref(object);
	return error;
}

static void memory_that_was_touched_is_refused(void **state)
{
	struct lazymem_mapping *mapping = stage_mapping(4 * PAGE);

	(void)state;
	*(volatile char *)lazymem_mapping_span(mapping).host = 1;
	assert_int_equal(create_of(mapping, true), -EEXIST);
	assert_says("[0x8000+0x4000]");
	assert_says("4096 bytes");
}

static void memory_in_use_is_taken_where_that_is_asked_for(void **state)
{
	struct lazymem_mapping *mapping = stage_mapping(4 * PAGE);

	(void)state;
	*(volatile char *)lazymem_mapping_span(mapping).host = 1;
	assert_int_equal(create_of(mapping, false), 0);
}

static void destroy_may_come_twice(void **state)
{
	struct lazymem_mapping *mapping = stage_mapping(4 * PAGE);
	struct lm_lazy_region lazy = {.mapping = mapping};
	struct lazymem_region *object = object_of(mapping);

	(void)state;
	assert_int_equal(lm_lazy_region_create(object, true, &lazy), 0);
	lm_lazy_region_destroy(&lazy);
	lm_lazy_region_destroy(&lazy);
	assert_null(lazy.host);
	lazymem_region_unref(object);
}

/* ---- extents ------------------------------------------------------------- */

/* An object whose one extent the test sets by bytes. */
static struct {
	uint64_t start, end; /* data; all else is zero */
	int error;
} object;

static void never_read(void *unused, struct lazymem_read *read)
{
	(void)unused;
	lazymem_read_complete(read, -EIO);
}

static int extent_of(void *unused, uint64_t offset, uint64_t length,
		     struct lazymem_extent *ret_extent)
{
	bool data = offset >= object.start && offset < object.end;
	uint64_t end = data ? object.end : offset < object.start ? object.start : UINT64_MAX;

	(void)unused;
	if (end > offset + length)
		end = offset + length;
	*ret_extent = (struct lazymem_extent){offset, end - offset,
					      data ? LAZYMEM_EXTENT_DATA : LAZYMEM_EXTENT_ZERO};
	return object.error;
}

static const struct lazymem_backing_operations extent_operations = {
	.size = sizeof(extent_operations), .read = never_read, .extent = extent_of};

static struct lm_lazy_region plain;

static int set_up_extents(void **state)
{
	(void)state;
	memset(&object, 0, sizeof(object));
	memset(&plain, 0, sizeof(plain));
	plain.page_size = PAGE;
	plain.page_shift = 12;
	return lazymem_backing_create(&extent_operations, NULL, 64 * PAGE + 100, "extents",
				      &plain.backing);
}

static int tear_down_extents(void **state)
{
	(void)state;
	lazymem_backing_unref(plain.backing);
	return 0;
}

static void data_from(uint64_t start, uint64_t end)
{
	object.start = start;
	object.end = end;
}

static void assert_extent(size_t page, size_t limit, size_t count, bool zero)
{
	bool is_zero = !zero;

	assert_int_equal(lm_lazy_region_extent(&plain, page, limit, &is_zero), count);
	assert_int_equal(is_zero, zero);
}

static void whole_pages_of_data_are_data(void **state)
{
	(void)state;
	data_from(0, 5 * PAGE);
	assert_extent(0, 32, 5, false);
	assert_extent(2, 32, 3, false);
}

static void whole_pages_of_zeros_are_zero(void **state)
{
	(void)state;
	data_from(5 * PAGE, 6 * PAGE);
	assert_extent(0, 32, 5, true);
}

static void extent_is_no_longer_than_the_limit(void **state)
{
	(void)state;
	data_from(0, 32 * PAGE);
	assert_extent(0, 7, 7, false);
	assert_extent(32, 7, 7, true);
}

static void page_whose_end_is_a_hole_is_data(void **state)
{
	(void)state;
	data_from(0, 2 * PAGE + 1);
	assert_extent(0, 32, 3, false);
	assert_extent(2, 32, 1, false);
	assert_extent(3, 8, 8, true);
}

static void page_whose_beginning_is_a_hole_is_data(void **state)
{
	(void)state;
	data_from(2 * PAGE + 1, 5 * PAGE);
	assert_extent(0, 32, 2, true);
	assert_extent(2, 32, 1, false);
}

static void page_with_a_byte_in_the_middle_is_data(void **state)
{
	(void)state;
	data_from(2 * PAGE + 100, 2 * PAGE + 101);
	assert_extent(0, 32, 2, true);
	assert_extent(2, 32, 1, false);
	assert_extent(3, 8, 8, true);
}

static void last_page_of_the_object_is_data(void **state)
{
	(void)state;
	data_from(60 * PAGE, 64 * PAGE + 100);
	assert_extent(60, 5, 5, false);
	assert_extent(64, 1, 1, false);
}

static void last_page_in_a_hole_is_zero(void **state)
{
	(void)state;
	assert_extent(64, 1, 1, true);
}

static void page_past_the_object_is_zero(void **state)
{
	(void)state;
	data_from(0, 64 * PAGE + 100);
	assert_extent(65, 3, 3, true);
}

static void pages_count_from_the_offset_of_the_region(void **state)
{
	(void)state;
	plain.backing_offset = 10 * PAGE;
	data_from(12 * PAGE, 15 * PAGE);
	assert_extent(0, 32, 2, true);
	assert_extent(2, 32, 3, false);
}

static void offset_within_a_page_makes_shared_pages_data(void **state)
{
	(void)state;
	plain.backing_offset = 512;
	data_from(0, 2 * PAGE); /* ends within page 1 of the region */
	assert_extent(0, 32, 2, false);
	assert_extent(2, 8, 8, true);
}

static void giant_page_with_one_page_of_data_is_data(void **state)
{
	(void)state;
	plain.page_size = 16 * PAGE;
	plain.page_shift = 16;
	data_from(20 * PAGE, 21 * PAGE);
	assert_extent(0, 4, 1, true);
	assert_extent(1, 3, 1, false);
	assert_extent(2, 2, 2, true);
}

static void object_without_an_answer_is_read(void **state)
{
	(void)state;
	object.error = -EIO;
	assert_extent(0, 32, 1, false);
}

/* ---- blocks -------------------------------------------------------------- */

static uint16_t present[3];
static struct lazymem_mapping advised;
static struct lazymem_attachment tracking;

/* Three blocks, the first of which begins at page 10. */
static int set_up_blocks(void **state)
{
	(void)state;
	memset(present, 0, sizeof(present));
	memset(&plain, 0, sizeof(plain));
	plain.page_size = PAGE;
	plain.page_shift = 12;
	memset(&advised, 0, sizeof(advised));
	advised.wants_hugepages = true;
	plain.mapping = &advised;
	plain.attachment = &tracking;
	tracking.tracking = LAZYMEM_TRACKING_NONE;
	plain.present_in_block = present;
	plain.blocks = 3;
	plain.first_block_page = 10;
	return 0;
}

/* The kernel collapses no block of them, and takes it out of the page table for trying. */
static void protected_pages_are_not_counted(void **state)
{
	(void)state;
	tracking.tracking = LAZYMEM_TRACKING_KERNEL;
	lm_lazy_region_count_present(&plain, 10, 512);
	assert_int_equal(present[0], 0);
}

static size_t complete(void)
{
	return atomic_load(&plain.complete_blocks);
}

static void block_begins_where_it_should(void **state)
{
	(void)state;
	assert_int_equal(lm_lazy_region_block_page(&plain, 0), 10);
	assert_int_equal(lm_lazy_region_block_page(&plain, 2), 10 + 2 * FULL);
}

static void pages_are_counted_in_their_block(void **state)
{
	(void)state;
	lm_lazy_region_count_present(&plain, 10 + FULL - 1, 3);
	assert_int_equal(present[0], 1);
	assert_int_equal(present[1], 2);
	assert_int_equal(present[2], 0);
}

static void pages_outside_of_blocks_are_not_counted(void **state)
{
	(void)state;
	lm_lazy_region_count_present(&plain, 0, 10);
	lm_lazy_region_count_present(&plain, 10 + 3 * FULL, 10);
	assert_int_equal(present[0] + present[1] + present[2], 0);
}

static void full_block_is_complete(void **state)
{
	(void)state;
	lm_lazy_region_count_present(&plain, 10, FULL - 1);
	assert_int_equal(complete(), 0);
	lm_lazy_region_count_present(&plain, 10 + FULL - 1, 1);
	assert_int_equal(complete(), 1);
}

static void discard_breaks_a_block(void **state)
{
	(void)state;
	lm_lazy_region_count_present(&plain, 10, 5);
	lm_lazy_region_break_blocks(&plain, 12, 1);
	assert_int_equal(present[0], LM_BLOCK_BROKEN);
	assert_int_equal(present[1], 0);
}

static void broken_block_is_never_complete(void **state)
{
	(void)state;
	lm_lazy_region_break_blocks(&plain, 12, 1);
	lm_lazy_region_count_present(&plain, 10, FULL);
	assert_int_equal(complete(), 0);
	assert_int_equal(present[0], LM_BLOCK_BROKEN);
}

static void discard_takes_a_complete_block_back(void **state)
{
	(void)state;
	lm_lazy_region_count_present(&plain, 10, 2 * FULL);
	assert_int_equal(complete(), 2);
	lm_lazy_region_break_blocks(&plain, 10, 4);
	assert_int_equal(complete(), 1);
}

static void collapsed_block_can_be_broken(void **state)
{
	(void)state;
	present[1] = LM_BLOCK_COLLAPSED;
	lm_lazy_region_break_blocks(&plain, 10 + FULL, 1);
	assert_int_equal(present[1], LM_BLOCK_BROKEN);
	assert_int_equal(complete(), 0);
}

static void collapsed_block_is_not_counted_again(void **state)
{
	(void)state;
	present[1] = LM_BLOCK_COLLAPSED;
	lm_lazy_region_count_present(&plain, 10 + FULL, 1);
	assert_int_equal(present[1], LM_BLOCK_COLLAPSED);
	assert_int_equal(complete(), 0);
}

static void memory_without_advice_is_not_counted(void **state)
{
	(void)state;
	advised.wants_hugepages = false;
	lm_lazy_region_count_present(&plain, 10, FULL);
	assert_int_equal(complete(), 0);
	assert_int_equal(present[0], 0);
}

static void region_without_blocks_counts_nothing(void **state)
{
	(void)state;
	plain.blocks = 0;
	plain.present_in_block = NULL;
	lm_lazy_region_count_present(&plain, 10, FULL);
	lm_lazy_region_break_blocks(&plain, 10, FULL);
	assert_int_equal(complete(), 0);
}

#define EXTENT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_extents, tear_down_extents)
#define BLOCK_TEST(test) cmocka_unit_test_setup(test, set_up_blocks)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_PRIVATE(region_is_described_by_its_objects),
		ON_PRIVATE(private_memory_has_no_alias),
		ON_SHARED(alias_is_the_same_memory),
		ON_PRIVATE(memory_that_was_touched_is_refused),
		ON_PRIVATE(memory_in_use_is_taken_where_that_is_asked_for),
		ON_PRIVATE(destroy_may_come_twice),
		EXTENT_TEST(whole_pages_of_data_are_data),
		EXTENT_TEST(whole_pages_of_zeros_are_zero),
		EXTENT_TEST(extent_is_no_longer_than_the_limit),
		EXTENT_TEST(page_whose_end_is_a_hole_is_data),
		EXTENT_TEST(page_whose_beginning_is_a_hole_is_data),
		EXTENT_TEST(page_with_a_byte_in_the_middle_is_data),
		EXTENT_TEST(last_page_of_the_object_is_data),
		EXTENT_TEST(last_page_in_a_hole_is_zero),
		EXTENT_TEST(page_past_the_object_is_zero),
		EXTENT_TEST(pages_count_from_the_offset_of_the_region),
		EXTENT_TEST(offset_within_a_page_makes_shared_pages_data),
		EXTENT_TEST(giant_page_with_one_page_of_data_is_data),
		EXTENT_TEST(object_without_an_answer_is_read),
		BLOCK_TEST(block_begins_where_it_should),
		BLOCK_TEST(pages_are_counted_in_their_block),
		BLOCK_TEST(pages_outside_of_blocks_are_not_counted),
		BLOCK_TEST(protected_pages_are_not_counted),
		BLOCK_TEST(full_block_is_complete),
		BLOCK_TEST(discard_breaks_a_block),
		BLOCK_TEST(broken_block_is_never_complete),
		BLOCK_TEST(discard_takes_a_complete_block_back),
		BLOCK_TEST(collapsed_block_can_be_broken),
		BLOCK_TEST(collapsed_block_is_not_counted_again),
		BLOCK_TEST(memory_without_advice_is_not_counted),
		BLOCK_TEST(region_without_blocks_counts_nothing),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
