/* wrap: ioctl read madvise */
/* SPDX-License-Identifier: MIT
 *
 * collapse_test.c - which blocks are made huge pages, and what is kept of a
 * refusal.
 */
#include "stage.h"

#include "core/mapping.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define FULL (LM_BLOCK / PAGE)

int __real_madvise(void *host, size_t length, int advice);
int __wrap_madvise(void *host, size_t length, int advice);

static struct {
	void *hosts[8];
	size_t calls;
	int error;
} collapses;

int __wrap_madvise(void *host, size_t length, int advice)
{
	if (advice != MADV_COLLAPSE)
		return __real_madvise(host, length, advice);
	assert_true(collapses.calls < 8);
	assert_int_equal(length, LM_BLOCK);
	collapses.hosts[collapses.calls++] = host;
	errno = collapses.error;
	return collapses.error == 0 ? 0 : -1;
}

/* Three blocks, the first of which begins at the first page. */
static int set_up(void **state)
{
	(void)state;
	memset(&collapses, 0, sizeof(collapses));
	stage_open(PRIVATE, 3 * FULL, 1);
	stage.regions[0].mapping->wants_hugepages = true;
	free(stage.regions[0].present_in_block);
	stage.regions[0].present_in_block = calloc(3, sizeof(uint16_t));
	assert_non_null(stage.regions[0].present_in_block);
	stage.regions[0].blocks = 3;
	stage.regions[0].first_block_page = 0;
	return 0;
}

static void make_present(size_t page, size_t count)
{
	set_state(page, count, LM_PAGE_PRESENT);
	lm_lazy_region_count_present(&stage.regions[0], page, count);
}

static bool step(void)
{
	uint64_t due = UINT64_MAX;

	return lm_collapse_step(&stage.worker, &stage.attachment, &due);
}

static void rest(void)
{
	lm_collapse_rest(&stage.regions[0], &stage.attachment.statistics);
}

static void nothing_complete_is_nothing_to_do(void **state)
{
	(void)state;
	make_present(0, FULL - 1);
	assert_false(step());
	assert_int_equal(collapses.calls, 0);
}

static void complete_block_is_collapsed(void **state)
{
	(void)state;
	make_present(FULL, FULL);
	assert_true(step());
	assert_int_equal((uintptr_t)collapses.hosts[0], host_of(FULL));
	assert_int_equal(counter(LM_BLOCKS_COLLAPSED), 1);
}

static void collapsed_block_is_left_alone(void **state)
{
	(void)state;
	make_present(0, FULL);
	step();
	assert_false(step());
	rest();
	assert_int_equal(collapses.calls, 1);
}

static void one_step_collapses_one_block(void **state)
{
	(void)state;
	make_present(0, 2 * FULL);
	assert_true(step());
	assert_int_equal(collapses.calls, 1);
	assert_true(step());
	assert_int_equal(collapses.calls, 2);
}

static void refused_block_is_not_tried_while_registered(void **state)
{
	(void)state;
	make_present(0, FULL);
	collapses.error = EBUSY;
	assert_true(step());
	assert_false(step());
	assert_int_equal(counter(LM_BLOCKS_COLLAPSED), 0);
}

static void refused_block_is_tried_again_at_the_end(void **state)
{
	(void)state;
	make_present(0, FULL);
	collapses.error = EBUSY;
	step();
	collapses.error = 0;
	rest();
	assert_int_equal(collapses.calls, 2);
	assert_int_equal(counter(LM_BLOCKS_COLLAPSED), 1);
}

static void rest_collapses_what_holds_a_page(void **state)
{
	(void)state;
	make_present(FULL + 7, 1);
	rest();
	assert_int_equal(collapses.calls, 1);
	assert_int_equal((uintptr_t)collapses.hosts[0], host_of(FULL));
}

static void rest_leaves_a_discarded_block_small(void **state)
{
	(void)state;
	make_present(FULL, FULL);
	discard(FULL + 7, 1);
	rest();
	assert_int_equal(collapses.calls, 0);
}

static void discarded_block_is_not_collapsed(void **state)
{
	(void)state;
	make_present(FULL, FULL);
	discard(FULL + 7, 1);
	assert_false(step());
}

static void memory_without_advice_is_left_small(void **state)
{
	(void)state;
	stage.regions[0].mapping->wants_hugepages = false;
	make_present(0, 3 * FULL);
	assert_false(step());
	rest();
	assert_int_equal(collapses.calls, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, stage_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_complete_is_nothing_to_do),
		TEST(complete_block_is_collapsed),
		TEST(collapsed_block_is_left_alone),
		TEST(one_step_collapses_one_block),
		TEST(refused_block_is_not_tried_while_registered),
		TEST(refused_block_is_tried_again_at_the_end),
		TEST(rest_collapses_what_holds_a_page),
		TEST(rest_leaves_a_discarded_block_small),
		TEST(discarded_block_is_not_collapsed),
		TEST(memory_without_advice_is_left_small),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
