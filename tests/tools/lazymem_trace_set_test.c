/* SPDX-License-Identifier: MIT */
#include "trace_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE UINT64_C(4096)
#define PAGES 64u

struct pages {
	uint64_t first;
	uint64_t count;
};

static struct lazymem_trace *make(const struct pages *pages, size_t count)
{
	struct lazymem_trace *trace;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(
			lazymem_trace_append(trace,
					     (struct lazymem_guest_range){{pages[i].first * PAGE},
									  pages[i].count * PAGE}),
			0);
	return trace;
}

#define MAKE(...)                                                                                  \
	make((const struct pages[]){__VA_ARGS__},                                                  \
	     sizeof((const struct pages[]){__VA_ARGS__}) / sizeof(struct pages))

static void assert_trace(struct lazymem_trace *trace, const struct pages *pages, size_t count)
{
	assert_int_equal(lazymem_trace_count(trace), count);
	for (size_t i = 0; i < count; i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		assert_int_equal(range.start.value, pages[i].first * PAGE);
		assert_int_equal(range.length, pages[i].count * PAGE);
	}
	lazymem_trace_destroy(trace);
}

#define ASSERT_TRACE(trace, ...)                                                                   \
	assert_trace(trace, (const struct pages[]){__VA_ARGS__},                                   \
		     sizeof((const struct pages[]){__VA_ARGS__}) / sizeof(struct pages))

static void destroy(struct lazymem_trace **traces, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lazymem_trace_destroy(traces[i]);
}

static void test_union_keeps_the_order_of_the_first(void **state)
{
	struct lazymem_trace *traces[] = {MAKE({8, 3}, {1, 1}), MAKE({0, 2}, {9, 4})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(trace_set_union(traces, 2, &result), 0);
	ASSERT_TRACE(result, {8, 3}, {1, 1}, {0, 1}, {11, 2});
	destroy(traces, 2);
}

static void test_intersection_keeps_the_order_of_the_first(void **state)
{
	struct lazymem_trace *traces[] = {MAKE({8, 3}, {20, 4}, {1, 2}),
					  MAKE({0, 10}, {22, 1}, {30, 1})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(trace_set_intersect(traces, 2, &result), 0);
	ASSERT_TRACE(result, {8, 2}, {22, 1}, {1, 2});
	destroy(traces, 2);
}

static void test_a_page_that_is_touched_twice_counts_once(void **state)
{
	struct lazymem_trace *traces[] = {MAKE({4, 2}, {0, 8}, {5, 1}), MAKE({0, 1}, {0, 1})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(trace_set_union(traces, 1, &result), 0);
	ASSERT_TRACE(result, {4, 2}, {0, 4}, {6, 2});
	assert_int_equal(trace_set_intersect(traces, 2, &result), 0);
	ASSERT_TRACE(result, {0, 1});
	destroy(traces, 2);
}

static void test_ranges_up_to_the_end_of_the_address_space(void **state)
{
	const uint64_t last = UINT64_MAX / PAGE;
	struct lazymem_trace *traces[] = {MAKE({last - 1, 2}), MAKE({last, 1}, {0, 1})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(trace_set_union(traces, 2, &result), 0);
	ASSERT_TRACE(result, {last - 1, 2}, {0, 1});
	assert_int_equal(trace_set_intersect(traces, 2, &result), 0);
	ASSERT_TRACE(result, {last, 1});
	destroy(traces, 2);
}

static void test_empty_traces(void **state)
{
	struct lazymem_trace *traces[] = {make(NULL, 0), make(NULL, 0), MAKE({1, 1})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(trace_set_union(traces, 2, &result), 0);
	assert_trace(result, NULL, 0);
	assert_int_equal(trace_set_intersect(traces, 3, &result), 0);
	assert_trace(result, NULL, 0);
	assert_int_equal(trace_set_union(traces, 3, &result), 0);
	ASSERT_TRACE(result, {1, 1});
	destroy(traces, 3);
}

static void test_the_smallest_pages_are_those_of_the_result(void **state)
{
	struct lazymem_trace *traces[] = {NULL, MAKE({3, 1})};
	struct lazymem_trace *result;

	(void)state;
	assert_int_equal(lazymem_trace_create(65536, &traces[0]), 0);
	assert_int_equal(lazymem_trace_append(traces[0], (struct lazymem_guest_range){{0}, 65536}),
			 0);
	assert_int_equal(trace_set_intersect(traces, 2, &result), 0);
	assert_int_equal(lazymem_trace_page_size(result), PAGE);
	ASSERT_TRACE(result, {3, 1});
	destroy(traces, 2);
}

/* ---- against pages one by one ------------------------------------------------------- */

static struct lazymem_trace *make_random(void)
{
	struct pages pages[10];
	const size_t count = (size_t)(rand() % 10);

	for (size_t i = 0; i < count; i++) {
		pages[i].first = (uint64_t)rand() % PAGES;
		pages[i].count = 1 + (uint64_t)rand() % (PAGES - pages[i].first);
	}
	return make(pages, count);
}

/* The pages of a trace in their order, each once; how many. */
static size_t list(const struct lazymem_trace *trace, uint64_t *pages)
{
	bool seen[PAGES] = {false};
	size_t count = 0;

	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		for (uint64_t at = 0; at < range.length; at += PAGE) {
			const uint64_t page = (range.start.value + at) / PAGE;

			if (!seen[page])
				pages[count++] = page;
			seen[page] = true;
		}
	}
	return count;
}

static size_t list_union(struct lazymem_trace *const *traces, size_t count, uint64_t *pages)
{
	bool seen[PAGES] = {false};
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		uint64_t own[PAGES];
		const size_t own_count = list(traces[i], own);

		for (size_t j = 0; j < own_count; j++) {
			if (!seen[own[j]])
				pages[used++] = own[j];
			seen[own[j]] = true;
		}
	}
	return used;
}

static size_t list_intersection(struct lazymem_trace *const *traces, size_t count, uint64_t *pages)
{
	size_t in[PAGES] = {0};
	uint64_t own[PAGES];
	size_t own_count;
	size_t used = 0;

	for (size_t i = 0; i < count; i++) {
		own_count = list(traces[i], own);
		for (size_t j = 0; j < own_count; j++)
			in[own[j]]++;
	}
	own_count = list(traces[0], own);
	for (size_t j = 0; j < own_count; j++) {
		if (in[own[j]] == count)
			pages[used++] = own[j];
	}
	return used;
}

static void assert_pages(struct lazymem_trace *trace, const uint64_t *expected, size_t count)
{
	uint64_t pages[PAGES];

	assert_int_equal(list(trace, pages), count);
	assert_memory_equal(pages, expected, count * sizeof(*pages));
	assert_int_equal(lazymem_trace_length(trace), count * PAGE);
	lazymem_trace_destroy(trace);
}

static void test_random_traces(void **state)
{
	(void)state;
	srand(1);
	for (unsigned round = 0; round < 2000; round++) {
		struct lazymem_trace *traces[4];
		const size_t count = 1 + (size_t)(rand() % 4);
		struct lazymem_trace *result;
		uint64_t expected[PAGES];

		for (size_t i = 0; i < count; i++)
			traces[i] = make_random();
		assert_int_equal(trace_set_union(traces, count, &result), 0);
		assert_pages(result, expected, list_union(traces, count, expected));
		assert_int_equal(trace_set_intersect(traces, count, &result), 0);
		assert_pages(result, expected, list_intersection(traces, count, expected));
		destroy(traces, count);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_union_keeps_the_order_of_the_first),
		cmocka_unit_test(test_intersection_keeps_the_order_of_the_first),
		cmocka_unit_test(test_a_page_that_is_touched_twice_counts_once),
		cmocka_unit_test(test_ranges_up_to_the_end_of_the_address_space),
		cmocka_unit_test(test_empty_traces),
		cmocka_unit_test(test_the_smallest_pages_are_those_of_the_result),
		cmocka_unit_test(test_random_traces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
