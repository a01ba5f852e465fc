/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_changed_test.c - a layer of what is said to have changed: that
 * is stored, and nothing else is looked at.
 */
#include "write_fixture.h"

#include <lazymem/memory.h>

#define PAGES 64
#define HALF (PAGES / 2 * PAGE)

/* Two regions, the later bytes at the lower address. */
static const struct lazymem_snapshot_region regions[2] = {{{1 << 30}, HALF, 0},
							  {{1 << 20}, HALF, HALF}};

static struct memory memory, base;
static char *path, *parent_path;
static struct lazymem_snapshot *parent;
static struct lazymem_memory *guest;
static struct lazymem_dirty *changed;

static void make_guest(void)
{
	struct lazymem_region *made[2];

	for (size_t i = 0; i < 2; i++) {
		struct lazymem_mapping *mapping;

		assert_int_equal(lazymem_mapping_create_anonymous(HALF, NULL, &mapping), 0);
		assert_int_equal(lazymem_region_create(mapping, regions[i].base, NULL, 0, &made[i]),
				 0);
		lazymem_mapping_unref(mapping);
	}
	assert_int_equal(lazymem_memory_create(made, 2, &guest), 0);
	lazymem_region_unref(made[0]);
	lazymem_region_unref(made[1]);
	assert_int_equal(lazymem_dirty_create(guest, &changed), 0);
}

static struct lazymem_snapshot_plan plan_in_regions(const struct memory *of)
{
	struct lazymem_snapshot_plan plan = plan_of(of->backing);

	plan.regions = regions;
	plan.region_count = 2;
	return plan;
}

static int set_up(void **state)
{
	struct lazymem_snapshot_plan plan;

	make_directory(state);
	path = path_of("snapshot");
	parent_path = path_of("parent");
	make_memory(&base, "dddd", PAGES * PAGE);
	make_memory(&memory, "dDzh", PAGES * PAGE);
	plan = plan_in_regions(&base);
	write_snapshot(parent_path, &plan);
	parent = open_snapshot(parent_path);
	make_guest();
	return 0;
}

static int tear_down(void **state)
{
	lazymem_dirty_destroy(changed);
	lazymem_memory_unref(guest);
	lazymem_snapshot_unref(parent);
	lazymem_backing_unref(memory.backing);
	lazymem_backing_unref(base.backing);
	free(path);
	free(parent_path);
	return remove_directory(state);
}

/* Page `page` of the memory, by its guest address. */
static void change(uint64_t page, uint64_t count)
{
	const struct lazymem_snapshot_region *region = &regions[page >= PAGES / 2];
	const struct lazymem_guest_range range = {
		{region->base.value + page * PAGE - region->offset}, count * PAGE};

	assert_int_equal(lazymem_dirty_add(changed, range), 0);
}

static int write_layer(void)
{
	struct lazymem_snapshot_plan plan = plan_in_regions(&memory);

	plan.parent = parent;
	plan.parent_path = "parent";
	plan.changed = changed;
	return lazymem_snapshot_write(path, &plan);
}

/* Page of `memory` where it has changed, of `base` elsewhere. */
static void assert_layer(bool (*is_changed)(uint64_t page))
{
	struct lazymem_snapshot *snapshot = open_snapshot(path);
	unsigned char held[PAGE], expected[PAGE];

	for (uint64_t page = 0; page < PAGES; page++) {
		fill_page(is_changed(page) ? &memory : &base, page, expected);
		assert_int_equal(lazymem_backing_read(lazymem_snapshot_backing(snapshot),
						      page * PAGE, held, PAGE),
				 0);
		if (memcmp(held, expected, PAGE) != 0)
			fail_msg("page %llu is another one", (unsigned long long)page);
	}
	lazymem_snapshot_unref(snapshot);
}

static bool is_in_the_middle(uint64_t page)
{
	return page >= 30 && page < 40;
}

static void only_what_has_changed_is_read_and_stored(void **state)
{
	(void)state;
	change(30, 2);
	change(32, 8);
	memory.bytes_read = base.bytes_read = 0;
	assert_int_equal(write_layer(), 0);
	/* three of the ten are holes, and are not read */
	assert_int_equal(memory.bytes_read, 7 * PAGE);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_PARENT], PAGES - 10);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_ZERO], 6);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 4);
	assert_layer(is_in_the_middle);
}

static bool is_never(uint64_t page)
{
	(void)page;
	return false;
}

static void nothing_changed_is_an_empty_layer(void **state)
{
	(void)state;
	memory.bytes_read = 0;
	assert_int_equal(write_layer(), 0);
	assert_int_equal(memory.bytes_read, 0);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_PARENT], PAGES);
	assert_layer(is_never);
}

/* What the parent has there makes no difference: it is not looked at. */
static void equal_pages_that_are_said_to_have_changed_are_stored(void **state)
{
	(void)state;
	change(0, 1);
	assert_int_equal(write_layer(), 0);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 1);
	assert_layer(is_never);
}

static void what_has_changed_needs_a_parent(void **state)
{
	struct lazymem_snapshot_plan plan = plan_in_regions(&memory);

	(void)state;
	plan.changed = changed;
	assert_int_equal(lazymem_snapshot_write(path, &plan), -EINVAL);
	assert_says("has no parent");
}

/* A set for a guest that has more memory than the snapshot. */
static void a_page_that_no_region_has_is_named(void **state)
{
	const struct lazymem_snapshot_region *lower = &regions[1];
	struct memory half;
	struct lazymem_snapshot_plan plan;

	(void)state;
	make_memory(&half, "dDzh", HALF);
	plan = plan_of(half.backing);
	plan.regions = lower;
	plan.region_count = 1;
	write_snapshot(parent_path, &plan);
	lazymem_snapshot_unref(parent);
	parent = open_snapshot(parent_path);
	plan.parent = parent;
	plan.parent_path = "parent";
	plan.changed = changed;
	change(3, 1);
	change(40, 2);
	assert_int_equal(lazymem_snapshot_write(path, &plan), -EINVAL);
	assert_says("4096 lie in no region");
	lazymem_backing_unref(half.backing);
}

#define with_guest(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_guest(only_what_has_changed_is_read_and_stored),
		with_guest(nothing_changed_is_an_empty_layer),
		with_guest(equal_pages_that_are_said_to_have_changed_are_stored),
		with_guest(what_has_changed_needs_a_parent),
		with_guest(a_page_that_no_region_has_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
