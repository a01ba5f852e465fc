/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * attachment_test.c - finding a page by its host address, the marks of a
 * discard, what a trace is refused for, and the sum of pages.
 */
#include "stage.h"

#define PAGES 16

static int set_up(void **state)
{
	(void)state;
	stage_open(PRIVATE, PAGES, 3);
	return 0;
}

/* ---- find ---------------------------------------------------------------- */

static void assert_found(size_t region, size_t page, uint64_t address)
{
	size_t found = 77;

	assert_ptr_equal(lm_attachment_find(&stage.attachment, address, &found),
			 &stage.regions[region]);
	assert_int_equal(found, page);
}

static uint64_t host(size_t region)
{
	return (uintptr_t)stage.regions[region].host;
}

static void first_and_last_byte_of_each_region_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_found(i, 0, host(i));
		assert_found(i, 0, host(i) + PAGE - 1);
		assert_found(i, 1, host(i) + PAGE);
		assert_found(i, PAGES - 1, host(i) + PAGES * PAGE - 1);
	}
}

static void addresses_outside_are_of_nobody(void **state)
{
	size_t page;

	(void)state;
	assert_null(lm_attachment_find(&stage.attachment, host(0) - 1, &page));
	assert_null(lm_attachment_find(&stage.attachment, host(2) + PAGES * PAGE, &page));
	assert_null(lm_attachment_find(&stage.attachment, 0, &page));
	assert_null(lm_attachment_find(&stage.attachment, UINT64_MAX, &page));
}

static void gap_between_regions_is_of_nobody(void **state)
{
	size_t page;

	(void)state;
	stage.regions[1].length = PAGE; /* the rest is a gap now */
	assert_null(lm_attachment_find(&stage.attachment, host(1) + PAGE, &page));
	stage.regions[1].length = PAGES * PAGE;
}

/* ---- discard ------------------------------------------------------------- */

static void discard_marks_pages_of_every_state(void **state)
{
	(void)state;
	set_state(1, 1, LM_PAGE_CLAIMED);
	set_state(2, 1, LM_PAGE_PRESENT);
	set_state(3, 1, LM_PAGE_POISONED);
	discard(0, 4);
	assert_states(0, 4, LM_PAGE_DISCARDED);
	assert_int_equal(state_of(4), LM_PAGE_MISSING);
}

static void discard_that_comes_twice_is_counted_once(void **state)
{
	(void)state;
	discard(0, 4);
	discard(2, 4);
	assert_int_equal(counter(LM_PAGES_DISCARDED), 6);
}

static void discard_takes_poisoned_pages_out_of_their_count(void **state)
{
	(void)state;
	set_state(3, 2, LM_PAGE_POISONED);
	discard(0, 8);
	assert_int_equal(atomic_load(&stage.attachment.poisoned), 0);
}

static void discard_tells_what_the_pages_were(void **state)
{
	uint8_t before[4];

	(void)state;
	set_state(1, 1, LM_PAGE_PRESENT);
	set_state(2, 1, LM_PAGE_POISONED);
	lm_attachment_mark_discarded(&stage.attachment, &stage.regions[0], 0, 4, before);
	assert_int_equal(before[0], LM_PAGE_MISSING);
	assert_int_equal(before[1], LM_PAGE_PRESENT);
	assert_int_equal(before[2], LM_PAGE_POISONED);
	assert_int_equal(before[3], LM_PAGE_MISSING);
}

/* ---- statistics and trace ------------------------------------------------ */

static void statistics_sum_the_pages_of_all_regions(void **state)
{
	struct lazymem_statistics out = {.size = sizeof(out)};

	(void)state;
	set_state(3, 2, LM_PAGE_POISONED);
	assert_int_equal(lazymem_attachment_statistics(&stage.attachment, &out), 0);
	assert_int_equal(out.pages_total, 3 * PAGES);
	assert_int_equal(out.pages_poisoned, 2);
	assert_int_equal(out.size, sizeof(out));
}

static void statistics_write_no_more_than_the_callers_size(void **state)
{
	struct lazymem_statistics out = {.size = offsetof(struct lazymem_statistics, copied)};

	(void)state;
	out.copied = 77;
	lm_count(&stage.attachment.statistics, LM_FAULTS, 5);
	lm_count(&stage.attachment.statistics, LM_COPIED, 5);
	assert_int_equal(lazymem_attachment_statistics(&stage.attachment, &out), 0);
	assert_int_equal(out.faults, 5);
	assert_int_equal(out.copied, 77);
}

static void statistics_of_no_size_are_refused(void **state)
{
	struct lazymem_statistics out = {.size = 0};

	(void)state;
	assert_int_equal(lazymem_attachment_statistics(&stage.attachment, &out), -EINVAL);
}

static void trace_needs_a_recording(void **state)
{
	struct lazymem_trace *trace = NULL;

	(void)state;
	assert_int_equal(lazymem_attachment_trace(&stage.attachment, &trace), -EINVAL);
	assert_says("LAZYMEM_ATTACH_RECORD");
	assert_null(trace);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, stage_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(first_and_last_byte_of_each_region_are_found),
		TEST(addresses_outside_are_of_nobody),
		TEST(gap_between_regions_is_of_nobody),
		TEST(discard_marks_pages_of_every_state),
		TEST(discard_that_comes_twice_is_counted_once),
		TEST(discard_takes_poisoned_pages_out_of_their_count),
		TEST(discard_tells_what_the_pages_were),
		TEST(statistics_sum_the_pages_of_all_regions),
		TEST(statistics_write_no_more_than_the_callers_size),
		TEST(statistics_of_no_size_are_refused),
		TEST(trace_needs_a_recording),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
