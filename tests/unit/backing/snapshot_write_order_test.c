/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_order_test.c - a trace of guest addresses becomes an order of
 * pages.
 */
#include "backing/snapshot_write_order.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)

/* 300 pages: 200 at 1 MiB, then 100 right before them for the guest. */
static struct lazymem_snapshot_region regions[] = {
	{{0x100000}, 200 * PAGE, 0},
	{{0x100000 - 100 * PAGE}, 100 * PAGE, 200 * PAGE},
};

static struct lm_write_plan plan;
static struct lm_write_order order;
static struct lazymem_trace *trace;

static int set_up(void **state)
{
	(void)state;
	plan = (struct lm_write_plan){
		.path = "file", .pages = 300, .regions = regions, .region_count = 2};
	order = (struct lm_write_order){0};
	trace = NULL;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lm_write_order_destroy(&order);
	lazymem_trace_destroy(trace);
	return 0;
}

static void begin_trace(size_t page_size)
{
	assert_int_equal(lazymem_trace_create(page_size, &trace), 0);
	plan.asked.trace = trace;
}

static void touch(uint64_t start, uint64_t length)
{
	const struct lazymem_guest_range range = {{start}, length};

	assert_int_equal(lazymem_trace_append(trace, range), 0);
}

static void assert_runs(const struct lm_page_run *runs, size_t count)
{
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_int_equal(order.run_count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(order.runs[i].page, runs[i].page);
		assert_int_equal(order.runs[i].count, runs[i].count);
	}
}

static void assert_rest(uint64_t from, uint64_t page, uint64_t count)
{
	const struct lm_page_run rest = lm_write_order_rest(&order, from);

	assert_int_equal(rest.count, count);
	if (count != 0)
		assert_int_equal(rest.page, page);
}

static void without_a_trace_all_is_rest(void **state)
{
	(void)state;
	assert_runs(NULL, 0);
	assert_null(order.trace);
	assert_rest(0, 0, 300);
	assert_rest(7, 7, 293);
	assert_rest(300, 0, 0);
}

static void addresses_become_pages_of_the_memory(void **state)
{
	static const struct lm_page_run runs[] = {{5, 2}, {0, 1}, {299, 1}};

	(void)state;
	begin_trace(PAGE);
	touch(0x105000, 2 * PAGE);
	touch(0x100000, PAGE);
	touch(0xff000, PAGE);
	assert_runs(runs, 3);
}

static void range_across_regions_is_cut(void **state)
{
	/* neighbours for the guest, apart in the memory */
	static const struct lm_page_run runs[] = {{298, 2}, {0, 3}};

	(void)state;
	begin_trace(PAGE);
	touch(0xfe000, 5 * PAGE);
	assert_runs(runs, 2);
	assert_int_equal(lazymem_trace_count(order.trace), 1);
	assert_int_equal(lazymem_trace_length(order.trace), 5 * PAGE);
}

static void what_lies_outside_of_all_regions_is_left_out(void **state)
{
	static const struct lm_page_run runs[] = {{200, 1}, {199, 1}};

	(void)state;
	begin_trace(PAGE);
	touch(0, PAGE);
	touch(0x100000 - 101 * PAGE, 2 * PAGE);
	touch(0x100000 + 199 * PAGE, 50 * PAGE);
	touch(UINT64_MAX - 0xfff, PAGE);
	assert_runs(runs, 2);
	assert_int_equal(lazymem_trace_count(order.trace), 2);
	assert_int_equal(lazymem_trace_range(order.trace, 0).start.value, 0x100000 - 100 * PAGE);
	assert_int_equal(lazymem_trace_range(order.trace, 1).length, PAGE);
}

static void page_that_comes_up_twice_has_its_first_place(void **state)
{
	static const struct lm_page_run runs[] = {{70, 3}, {60, 10}, {73, 127}};

	(void)state;
	begin_trace(PAGE);
	touch(0x100000 + 70 * PAGE, 3 * PAGE);
	touch(0x100000 + 71 * PAGE, PAGE);
	touch(0x100000 + 60 * PAGE, 140 * PAGE);
	assert_runs(runs, 3);
	assert_int_equal(lazymem_trace_length(order.trace), 140 * PAGE);
}

static void runs_that_follow_each_other_are_joined(void **state)
{
	static const struct lm_page_run run = {199, 2};

	(void)state;
	/* neighbours in the memory, apart for the guest */
	begin_trace(PAGE);
	touch(0x100000 + 199 * PAGE, PAGE);
	touch(0x100000 - 100 * PAGE, PAGE);
	assert_runs(&run, 1);
	assert_int_equal(lazymem_trace_count(order.trace), 2);
}

static void rest_is_what_the_trace_left(void **state)
{
	(void)state;
	begin_trace(PAGE);
	touch(0x100000, 64 * PAGE);
	touch(0x100000 + 100 * PAGE, PAGE);
	touch(0x100000 - 100 * PAGE, 100 * PAGE);
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_rest(0, 64, 36);
	assert_rest(100, 101, 99);
	assert_rest(200, 0, 0);
}

static void trace_of_everything_leaves_no_rest(void **state)
{
	(void)state;
	begin_trace(PAGE);
	touch(0, 0x100000 + 200 * PAGE);
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_rest(0, 0, 0);
}

static void trace_is_bound_to_the_snapshot(void **state)
{
	(void)state;
	memset(plan.identity.bytes, 9, sizeof(plan.identity.bytes));
	begin_trace(PAGE);
	touch(0x100000, PAGE);
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_memory_equal(lazymem_trace_identity(order.trace).bytes, plan.identity.bytes, 32);
}

static void larger_pages_stay_where_the_regions_have_them(void **state)
{
	(void)state;
	regions[1].length = 104 * PAGE; /* 8 pages are 32 KiB */
	regions[1].base.value = 0x100000 - 104 * PAGE;
	plan.pages = 304;
	begin_trace(8 * PAGE);
	touch(0x108000, 8 * PAGE);
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_int_equal(lazymem_trace_page_size(order.trace), 8 * PAGE);
	lm_write_order_destroy(&order);

	regions[1].length = 100 * PAGE;
	regions[1].base.value = 0x100000 - 100 * PAGE;
	plan.pages = 300;
	touch(0x100000 - 104 * PAGE, 8 * PAGE);
	assert_int_equal(lm_write_order_create(&plan, &order), 0);
	assert_int_equal(lazymem_trace_page_size(order.trace), PAGE);
	assert_int_equal(lazymem_trace_length(order.trace), 12 * PAGE);
}

#define with_plan(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_plan(without_a_trace_all_is_rest),
		with_plan(addresses_become_pages_of_the_memory),
		with_plan(range_across_regions_is_cut),
		with_plan(what_lies_outside_of_all_regions_is_left_out),
		with_plan(page_that_comes_up_twice_has_its_first_place),
		with_plan(runs_that_follow_each_other_are_joined),
		with_plan(rest_is_what_the_trace_left),
		with_plan(trace_of_everything_leaves_no_rest),
		with_plan(trace_is_bound_to_the_snapshot),
		with_plan(larger_pages_stay_where_the_regions_have_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
