/* SPDX-License-Identifier: MIT */
#include "core/memory.h"

#include "model.h"

#include <sys/mman.h>

/* Guest memory of two regions; what creation answers. */
static int create_two(uint64_t first_base, size_t first_length, uint64_t second_base,
		      size_t second_length)
{
	struct lazymem_region *regions[] = {make_region(first_base, first_length),
					    make_region(second_base, second_length)};
	struct lazymem_memory *memory = NULL;
	const int error = lazymem_memory_create(regions, 2, &memory);

	assert_int_equal(memory != NULL, error == 0);
	lazymem_memory_unref(memory);
	lazymem_region_unref(regions[0]);
	lazymem_region_unref(regions[1]);
	return error;
}

/* ---- overlap ------------------------------------------------------------- */

static void overlap_at_the_beginning_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x2000, 0x2000, 0x1000, 0x2000), -EEXIST);
	assert_says("region 1 [0x1000+0x2000] overlaps region 0 [0x2000+0x2000]");
}

static void overlap_at_the_end_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x2000, 0x2000, 0x3000, 0x2000), -EEXIST);
	assert_says("region 1 [0x3000+0x2000] overlaps region 0 [0x2000+0x2000]");
}

static void region_inside_another_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x1000, 0x4000, 0x2000, 0x1000), -EEXIST);
	assert_says("region 1 [0x2000+0x1000] overlaps region 0 [0x1000+0x4000]");
}

static void region_around_another_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x2000, 0x1000, 0x1000, 0x4000), -EEXIST);
	assert_says("region 1 [0x1000+0x4000] overlaps region 0 [0x2000+0x1000]");
}

static void region_equal_to_another_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x2000, 0x2000, 0x2000, 0x2000), -EEXIST);
	assert_says("region 1 [0x2000+0x2000] overlaps region 0 [0x2000+0x2000]");
}

static void overlap_with_a_shared_end_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x1000, 0x2000, 0x1000, 0x1000), -EEXIST);
	assert_int_equal(create_two(0x1000, 0x2000, 0x2000, 0x1000), -EEXIST);
}

static void overlap_at_the_end_of_the_address_space_is_refused(void **state)
{
	(void)state;
	assert_int_equal(create_two(UINT64_MAX - 0x1fff, 0x2000, UINT64_MAX - 0xfff, 0x1000),
			 -EEXIST);
}

static void adjacent_regions_are_accepted(void **state)
{
	(void)state;
	assert_int_equal(create_two(0x1000, 0x2000, 0x3000, 0x1000), 0);
	assert_int_equal(create_two(0x3000, 0x1000, 0x1000, 0x2000), 0);
}

static void both_ends_of_the_address_space_are_accepted(void **state)
{
	(void)state;
	assert_int_equal(create_two(0, 0x1000, UINT64_MAX - 0xfff, 0x1000), 0);
}

static void culprits_are_named_by_the_callers_places(void **state)
{
	struct lazymem_region *regions[] = {
		make_region(0x9000, 0x1000), make_region(0x1000, 0x2000),
		make_region(0x5000, 0x1000), make_region(0x2000, 0x1000)};
	struct lazymem_memory *memory = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_create(regions, 4, &memory), -EEXIST);
	assert_string_equal(lazymem_error_message(),
			    "region 3 [0x2000+0x1000] overlaps region 1 [0x1000+0x2000]");
	assert_null(memory);
	for (size_t i = 0; i < 4; i++)
		lazymem_region_unref(regions[i]);
}

static void regions_that_share_a_mapping_are_refused(void **state)
{
	struct lazymem_mapping *mapping = make_mapping(PAGE);
	struct lazymem_region *regions[] = {
		make_region_of(lazymem_mapping_ref(mapping), 0x1000),
		make_region_of(mapping, 0x5000),
	};
	struct lazymem_memory *memory = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_create(regions, 2, &memory), -EEXIST);
	assert_says("region 1 [0x5000+0x1000] shares host memory with region 0 [0x1000+0x1000]");
	assert_null(memory);
	lazymem_region_unref(regions[0]);
	lazymem_region_unref(regions[1]);
}

static void adopted_mappings_that_overlap_in_the_host_are_refused(void **state)
{
	unsigned char *host =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct lazymem_mapping *whole = NULL, *half = NULL;
	struct lazymem_region *regions[2];
	struct lazymem_memory *memory = NULL;

	(void)state;
	assert_int_equal(lazymem_mapping_adopt(host, 2 * PAGE, -1, 0, NULL, &whole), 0);
	assert_int_equal(lazymem_mapping_adopt(host + PAGE, PAGE, -1, 0, NULL, &half), 0);
	regions[0] = make_region_of(whole, 0x1000);
	regions[1] = make_region_of(half, 0x8000);
	assert_int_equal(lazymem_memory_create(regions, 2, &memory), -EEXIST);
	assert_says("shares host memory");
	lazymem_region_unref(regions[0]);
	lazymem_region_unref(regions[1]);
	munmap(host, 2 * PAGE);
}

/* ---- creation ------------------------------------------------------------ */

static void no_regions_are_refused(void **state)
{
	struct lazymem_region *none[1] = {NULL};
	struct lazymem_memory *memory = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_create(none, 0, &memory), -EINVAL);
	assert_says("no regions");
	assert_int_equal(lazymem_memory_create(NULL, 1, &memory), -EINVAL);
	assert_null(memory);
}

static void null_among_the_regions_is_named(void **state)
{
	struct lazymem_region *regions[] = {make_region(0, PAGE), NULL};
	struct lazymem_memory *memory = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_create(regions, 2, &memory), -EINVAL);
	assert_says("region 1 of 2 is NULL");
	assert_null(memory);
	lazymem_region_unref(regions[0]);
}

static void regions_are_sorted(void **state)
{
	struct lazymem_memory *memory = make_three();

	(void)state;
	assert_true(lm_memory_is_valid(memory));
	assert_int_equal(lazymem_memory_region_count(memory), 3);
	assert_int_equal(lazymem_region_base(lazymem_memory_region(memory, 0)).value, 0x1000);
	assert_int_equal(lazymem_region_base(lazymem_memory_region(memory, 1)).value, 0x3000);
	assert_int_equal(lazymem_region_base(lazymem_memory_region(memory, 2)).value, 0x8000);
	assert_null(lazymem_memory_region(memory, 3));
	assert_null(lazymem_memory_region(memory, SIZE_MAX));
	lazymem_memory_unref(memory);
}

static void length_is_that_of_all_regions(void **state)
{
	struct lazymem_memory *memory = make_three();

	(void)state;
	assert_int_equal(lazymem_memory_length(memory), 5 * PAGE);
	lazymem_memory_unref(memory);
}

static void regions_outlive_the_callers_references(void **state)
{
	struct lazymem_memory *memory = make_three();

	(void)state;
	assert_ptr_equal(lazymem_memory_ref(memory), memory);
	lazymem_memory_unref(memory);
	host_of(lazymem_region_mapping(lazymem_memory_region(memory, 0)))[0] = 1;
	lazymem_memory_unref(memory);
	lazymem_memory_unref(NULL);
}

/* ---- the next guest memory ----------------------------------------------- */

static void with_adds_a_region_and_leaves_this_one_alone(void **state)
{
	struct lazymem_memory *memory = make_three(), *next = NULL;
	struct lazymem_region *region = make_region(0x6000, PAGE);

	(void)state;
	assert_int_equal(lazymem_memory_with(memory, region, &next), 0);
	assert_int_equal(lazymem_memory_region_count(memory), 3);
	assert_int_equal(lazymem_memory_region_count(next), 4);
	assert_ptr_equal(lazymem_memory_region(next, 2), region);
	lazymem_region_unref(region);
	lazymem_memory_unref(memory);
	lazymem_memory_unref(next);
}

static void with_refuses_an_overlap(void **state)
{
	struct lazymem_memory *memory = make_three(), *next = NULL;
	struct lazymem_region *region = make_region(0x4000, PAGE);

	(void)state;
	assert_int_equal(lazymem_memory_with(memory, region, &next), -EEXIST);
	assert_says("region 3 [0x4000+0x1000] overlaps region 1 [0x3000+0x2000]");
	assert_null(next);
	lazymem_region_unref(region);
	lazymem_memory_unref(memory);
}

static void without_takes_a_region_away(void **state)
{
	struct lazymem_memory *memory = make_three(), *next = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_without(memory, lazymem_memory_region(memory, 1), &next),
			 0);
	assert_int_equal(lazymem_memory_region_count(memory), 3);
	assert_int_equal(lazymem_memory_region_count(next), 2);
	assert_int_equal(lazymem_memory_length(next), 3 * PAGE);
	lazymem_memory_unref(memory);
	lazymem_memory_unref(next);
}

static void without_refuses_a_region_that_is_not_there(void **state)
{
	struct lazymem_memory *memory = make_three(), *next = NULL;
	struct lazymem_region *region = make_region(0x1000, PAGE);

	(void)state;
	assert_int_equal(lazymem_memory_without(memory, region, &next), -ENOENT);
	assert_says("region [0x1000+0x1000]");
	assert_null(next);
	lazymem_region_unref(region);
	lazymem_memory_unref(memory);
}

static void without_refuses_to_take_the_last_region(void **state)
{
	struct lazymem_region *region = make_region(0x1000, PAGE);
	struct lazymem_memory *memory = make_memory(&region, 1), *next = NULL;

	(void)state;
	assert_int_equal(lazymem_memory_without(memory, region, &next), -EINVAL);
	assert_says("is the last one");
	assert_null(next);
	lazymem_memory_unref(memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlap_at_the_beginning_is_refused),
		cmocka_unit_test(overlap_at_the_end_is_refused),
		cmocka_unit_test(region_inside_another_is_refused),
		cmocka_unit_test(region_around_another_is_refused),
		cmocka_unit_test(region_equal_to_another_is_refused),
		cmocka_unit_test(overlap_with_a_shared_end_is_refused),
		cmocka_unit_test(overlap_at_the_end_of_the_address_space_is_refused),
		cmocka_unit_test(adjacent_regions_are_accepted),
		cmocka_unit_test(both_ends_of_the_address_space_are_accepted),
		cmocka_unit_test(culprits_are_named_by_the_callers_places),
		cmocka_unit_test(regions_that_share_a_mapping_are_refused),
		cmocka_unit_test(adopted_mappings_that_overlap_in_the_host_are_refused),
		cmocka_unit_test(no_regions_are_refused),
		cmocka_unit_test(null_among_the_regions_is_named),
		cmocka_unit_test(regions_are_sorted),
		cmocka_unit_test(length_is_that_of_all_regions),
		cmocka_unit_test(regions_outlive_the_callers_references),
		cmocka_unit_test(with_adds_a_region_and_leaves_this_one_alone),
		cmocka_unit_test(with_refuses_an_overlap),
		cmocka_unit_test(without_takes_a_region_away),
		cmocka_unit_test(without_refuses_a_region_that_is_not_there),
		cmocka_unit_test(without_refuses_to_take_the_last_region),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
