/* wrap: calloc */
/* SPDX-License-Identifier: MIT
 *
 * dirty_test.c - dirty sets against a plain array of flags.
 */
#include "model.h"

#include <lazymem/dirty.h>

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);

static unsigned fail_in; /* 0: never; else the call that fails */

void *__wrap_calloc(size_t count, size_t size)
{
	return fail_in > 0 && --fail_in == 0 ? NULL : __real_calloc(count, size);
}

/* Regions whose ends lie at, before and behind the end of a word, with gaps. */
#define REGIONS 4
#define SPACE 512u /* pages of guest addresses, from 0 on */
static const struct {
	size_t first, count;
} layout[REGIONS] = {{1, 64}, {65, 63}, {200, 130}, {511, 1}};

struct fixture {
	struct lazymem_memory *memory;
	struct lazymem_dirty *dirty;
	bool model[SPACE];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct lazymem_region *regions[REGIONS];

	for (size_t i = 0; i < REGIONS; i++)
		regions[i] = make_region(layout[i].first * PAGE, layout[i].count * PAGE);
	f->memory = make_memory(regions, REGIONS);
	assert_int_equal(lazymem_dirty_create(f->memory, &f->dirty), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	lazymem_dirty_destroy(f->dirty);
	lazymem_memory_unref(f->memory);
	free(f);
	return 0;
}

static struct lazymem_guest_range range_of(uint64_t start, uint64_t length)
{
	return (struct lazymem_guest_range){AT(start), length};
}

static bool is_guest(size_t page)
{
	for (size_t i = 0; i < REGIONS; i++)
		if (page >= layout[i].first && page < layout[i].first + layout[i].count)
			return true;
	return false;
}

/* Every query answers as the model does. */
static void expect_model(const struct fixture *f)
{
	struct lazymem_guest_range range = {AT(0), 0};
	uint64_t length = 0, end = 0;

	for (size_t page = 0; page < SPACE; page++) {
		length += f->model[page] ? PAGE : 0;
		assert_int_equal(lazymem_dirty_test(f->dirty, AT(page * PAGE)), f->model[page]);
		assert_int_equal(lazymem_dirty_test(f->dirty, AT(page * PAGE + PAGE - 1)),
				 f->model[page]);
	}
	assert_int_equal(lazymem_dirty_length(f->dirty), length);
	while (lazymem_dirty_next(f->dirty, AT(end), &range) == 0) {
		for (size_t page = end / PAGE; page < range.start.value / PAGE; page++)
			assert_false(f->model[page]);
		end = range.start.value + range.length;
		for (size_t page = range.start.value / PAGE; page < end / PAGE; page++)
			assert_true(f->model[page]);
	}
	for (size_t page = end / PAGE; page < SPACE; page++)
		assert_false(f->model[page]);
}

static void a_new_set_is_empty(void **state)
{
	struct fixture *f = *state;

	expect_model(f);
	assert_int_equal(lazymem_dirty_length(f->dirty), 0);
}

static void every_page_that_a_range_touches_is_dirty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(64 * PAGE + 4095, 2)), 0);
	f->model[64] = f->model[65] = true;
	expect_model(f);
	assert_int_equal(lazymem_dirty_remove(f->dirty, range_of(65 * PAGE + 7, 1)), 0);
	f->model[65] = false;
	expect_model(f);
}

static void a_range_outside_is_refused_and_nothing_is_done(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(127 * PAGE, 2 * PAGE)), -EFAULT);
	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(PAGE, 0)), -EINVAL);
	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(UINT64_MAX, 2)), -EOVERFLOW);
	assert_int_equal(lazymem_dirty_remove(f->dirty, range_of(0, PAGE)), -EFAULT);
	expect_model(f);
	assert_false(lazymem_dirty_test(f->dirty, AT(UINT64_MAX)));
}

static void a_range_ends_with_its_region(void **state)
{
	struct fixture *f = *state;
	struct lazymem_guest_range range = {AT(0), 0};

	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(PAGE, 127 * PAGE)), 0);
	assert_int_equal(lazymem_dirty_next(f->dirty, AT(0), &range), 0);
	assert_int_equal(range.start.value, PAGE);
	assert_int_equal(range.length, 64 * PAGE);
}

static void a_range_begins_where_it_is_asked_for(void **state)
{
	struct fixture *f = *state;
	struct lazymem_guest_range range = {AT(0), 0};

	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(200 * PAGE, 130 * PAGE)), 0);
	assert_int_equal(lazymem_dirty_next(f->dirty, AT(300 * PAGE + 12), &range), 0);
	assert_int_equal(range.start.value, 300 * PAGE + 12);
	assert_int_equal(range.length, 30 * PAGE - 12);
	assert_int_equal(lazymem_dirty_next(f->dirty, AT(330 * PAGE), &range), -ENOENT);
	assert_says("nothing is dirty at or after guest address 0x14a000");
	assert_int_equal(range.start.value, 300 * PAGE + 12);
}

static void a_merge_is_the_union(void **state)
{
	struct fixture *f = *state;
	struct lazymem_dirty *other = NULL;

	assert_int_equal(lazymem_dirty_create(f->memory, &other), 0);
	assert_int_equal(lazymem_dirty_add(f->dirty, range_of(PAGE, PAGE)), 0);
	assert_int_equal(lazymem_dirty_add(other, range_of(2 * PAGE, PAGE)), 0);
	assert_int_equal(lazymem_dirty_add(other, range_of(511 * PAGE, PAGE)), 0);
	assert_int_equal(lazymem_dirty_merge(f->dirty, other), 0);
	f->model[1] = f->model[2] = f->model[511] = true;
	expect_model(f);
	lazymem_dirty_clear(f->dirty);
	memset(f->model, 0, sizeof(f->model));
	expect_model(f);
	assert_int_equal(lazymem_dirty_length(other), 2 * PAGE);
	lazymem_dirty_destroy(other);
}

static void sets_of_other_regions_do_not_merge(void **state)
{
	struct fixture *f = *state;
	struct lazymem_memory *memory = make_three();
	struct lazymem_dirty *other = NULL;

	assert_int_equal(lazymem_dirty_create(memory, &other), 0);
	assert_int_equal(lazymem_dirty_merge(f->dirty, other), -EINVAL);
	assert_says("different regions");
	lazymem_dirty_destroy(other);
	lazymem_memory_unref(memory);
}

static void a_set_keeps_its_guest_memory(void **state)
{
	struct lazymem_memory *memory = make_three();
	struct lazymem_dirty *dirty = NULL;

	(void)state;
	assert_int_equal(lazymem_dirty_create(memory, &dirty), 0);
	lazymem_memory_unref(memory);
	assert_int_equal(lazymem_dirty_add(dirty, range_of(0x8000, PAGE)), 0);
	assert_int_equal(lazymem_dirty_length(dirty), PAGE);
	lazymem_dirty_destroy(dirty);
}

static void without_memory_there_is_no_set(void **state)
{
	struct fixture *f = *state;
	struct lazymem_dirty *dirty = NULL;

	for (unsigned i = 1; i <= 1 + REGIONS; i++) {
		fail_in = i;
		assert_int_equal(lazymem_dirty_create(f->memory, &dirty), -ENOMEM);
		assert_null(dirty);
	}
	lazymem_dirty_destroy(NULL);
}

static unsigned random_below(uint64_t *seed, unsigned limit)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(*seed >> 33) % limit;
}

static bool is_all_guest(size_t page, size_t count)
{
	for (size_t i = page; i < page + count; i++)
		if (!is_guest(i))
			return false;
	return true;
}

static void random_ranges_agree_with_a_plain_array(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 5;

	for (unsigned turn = 0; turn < 3000; turn++) {
		const size_t page = random_below(&seed, SPACE);
		const size_t count = 1 + random_below(&seed, turn % 3 == 0 ? 140 : 4);
		const struct lazymem_guest_range range = range_of(page * PAGE, count * PAGE);
		const bool value = random_below(&seed, 2) == 0;
		const int expected = is_all_guest(page, count) ? 0 : -EFAULT;

		assert_int_equal(value ? lazymem_dirty_add(f->dirty, range)
				       : lazymem_dirty_remove(f->dirty, range),
				 expected);
		for (size_t i = page; expected == 0 && i < page + count; i++)
			f->model[i] = value;
		if (turn % 16 == 0)
			expect_model(f);
	}
	expect_model(f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_set_is_empty),
		TEST(every_page_that_a_range_touches_is_dirty),
		TEST(a_range_outside_is_refused_and_nothing_is_done),
		TEST(a_range_ends_with_its_region),
		TEST(a_range_begins_where_it_is_asked_for),
		TEST(a_merge_is_the_union),
		TEST(sets_of_other_regions_do_not_merge),
		TEST(a_set_keeps_its_guest_memory),
		TEST(without_memory_there_is_no_set),
		TEST(random_ranges_agree_with_a_plain_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
