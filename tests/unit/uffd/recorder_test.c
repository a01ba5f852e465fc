/* SPDX-License-Identifier: MIT
 *
 * recorder_test.c - the first-touch order, from the worker's entries to a trace.
 */
/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uffd/recorder.h"

#include <errno.h>
#include <string.h>

#define PAGE UINT64_C(4096)
#define CAPACITY 64

static struct lm_recorder recorder;

static int set_up(void **state)
{
	(void)state;
	memset(&recorder, 0, sizeof(recorder));
	return lm_recorder_create(&recorder, CAPACITY);
}

static int tear_down(void **state)
{
	(void)state;
	lm_recorder_destroy(&recorder);
	return 0;
}

/* Page number `index` was touched; all regions together begin at 1 MiB. */
static void touch(size_t index)
{
	lm_recorder_append(&recorder, index, 0x100000 + index * PAGE, 12);
}

static struct lazymem_trace *trace_of(size_t page_size)
{
	struct lazymem_trace *trace = NULL;

	assert_int_equal(lm_recorder_trace(&recorder, page_size, &trace), 0);
	return trace;
}

static void assert_entry(const struct lazymem_trace *trace, size_t index, uint64_t start,
			 uint64_t length)
{
	assert_true(index < lazymem_trace_count(trace));
	assert_int_equal(lazymem_trace_range(trace, index).start.value, start);
	assert_int_equal(lazymem_trace_range(trace, index).length, length);
}

static void nothing_recorded_is_an_empty_trace(void **state)
{
	struct lazymem_trace *trace = trace_of(PAGE);

	(void)state;
	assert_int_equal(lazymem_trace_count(trace), 0);
	lazymem_trace_destroy(trace);
}

static void touches_keep_their_order(void **state)
{
	struct lazymem_trace *trace;

	(void)state;
	touch(9);
	touch(3);
	touch(6);
	trace = trace_of(PAGE);
	assert_int_equal(lazymem_trace_count(trace), 3);
	assert_entry(trace, 0, 0x100000 + 9 * PAGE, PAGE);
	assert_entry(trace, 1, 0x100000 + 3 * PAGE, PAGE);
	assert_entry(trace, 2, 0x100000 + 6 * PAGE, PAGE);
	lazymem_trace_destroy(trace);
}

static void page_is_recorded_once(void **state)
{
	(void)state;
	touch(9);
	touch(3);
	touch(9);
	assert_int_equal(atomic_load(&recorder.count), 2);
}

static void every_page_has_room(void **state)
{
	(void)state;
	for (size_t i = CAPACITY; i-- > 0;)
		touch(i);
	assert_int_equal(atomic_load(&recorder.count), CAPACITY);
}

static void page_beyond_the_capacity_is_dropped(void **state)
{
	(void)state;
	touch(CAPACITY);
	touch(SIZE_MAX);
	assert_int_equal(atomic_load(&recorder.count), 0);
}

static void larger_pages_keep_their_length(void **state)
{
	struct lazymem_trace *trace;

	(void)state;
	lm_recorder_append(&recorder, 0, UINT64_C(1) << 30, 21);
	lm_recorder_append(&recorder, 1, UINT64_C(1) << 40, 30);
	trace = trace_of(PAGE);
	assert_entry(trace, 0, UINT64_C(1) << 30, UINT64_C(1) << 21);
	assert_entry(trace, 1, UINT64_C(1) << 40, UINT64_C(1) << 30);
	lazymem_trace_destroy(trace);
}

static void highest_guest_page_survives(void **state)
{
	struct lazymem_trace *trace;

	(void)state;
	lm_recorder_append(&recorder, 0, UINT64_MAX - PAGE + 1, 12);
	trace = trace_of(PAGE);
	assert_entry(trace, 0, UINT64_MAX - PAGE + 1, PAGE);
	lazymem_trace_destroy(trace);
}

static void trace_is_a_copy_of_that_moment(void **state)
{
	struct lazymem_trace *trace;

	(void)state;
	touch(1);
	trace = trace_of(PAGE);
	touch(2);
	assert_int_equal(lazymem_trace_count(trace), 1);
	lazymem_trace_destroy(trace);
}

static void page_size_that_is_none_is_refused(void **state)
{
	struct lazymem_trace *trace = NULL;

	(void)state;
	touch(1);
	assert_int_equal(lm_recorder_trace(&recorder, 4095, &trace), -EINVAL);
	assert_null(trace);
}

static void nothing_is_recorded_without_room(void **state)
{
	struct lm_recorder none = {.capacity = 0};

	(void)state;
	lm_recorder_append(&none, 0, 0x100000, 12);
	assert_int_equal(atomic_load(&none.count), 0);
}

static void capacity_that_overflows_is_refused(void **state)
{
	struct lm_recorder none = {.capacity = 0};

	(void)state;
	assert_int_equal(lm_recorder_create(&none, SIZE_MAX / 4), -ENOMEM);
	assert_null(none.touches);
}

static void destroy_may_come_twice(void **state)
{
	struct lm_recorder twice = {.capacity = 0};

	(void)state;
	assert_int_equal(lm_recorder_create(&twice, 8), 0);
	lm_recorder_destroy(&twice);
	lm_recorder_destroy(&twice);
	assert_null(twice.touches);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_recorded_is_an_empty_trace, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(touches_keep_their_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(page_is_recorded_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_page_has_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(page_beyond_the_capacity_is_dropped, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(larger_pages_keep_their_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(highest_guest_page_survives, set_up, tear_down),
		cmocka_unit_test_setup_teardown(trace_is_a_copy_of_that_moment, set_up, tear_down),
		cmocka_unit_test_setup_teardown(page_size_that_is_none_is_refused, set_up,
						tear_down),
		cmocka_unit_test(nothing_is_recorded_without_room),
		cmocka_unit_test(capacity_that_overflows_is_refused),
		cmocka_unit_test(destroy_may_come_twice),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
