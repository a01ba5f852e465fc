/* wrap: ioctl read */
/* SPDX-License-Identifier: MIT
 *
 * slot_test.c - the lists that slots wait in, how many there are of each
 * budget, and how the one that has claimed a page is found.
 */
#include "stage.h"

static struct lm_slot slots[3];
static struct lm_slot_list list;

static int set_up(void **state)
{
	(void)state;
	list = (struct lm_slot_list){.first = NULL};
	return 0;
}

static void empty_list_gives_nothing(void **state)
{
	(void)state;
	assert_null(lm_slot_list_take(&list));
	assert_int_equal(list.count, 0);
}

static void appended_slots_come_first_in_first_out(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		lm_slot_list_append(&list, &slots[i]);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(lm_slot_list_take(&list), &slots[i]);
	assert_null(lm_slot_list_take(&list));
}

static void prepended_slot_comes_first(void **state)
{
	(void)state;
	lm_slot_list_append(&list, &slots[0]);
	lm_slot_list_prepend(&list, &slots[1]);
	assert_ptr_equal(lm_slot_list_take(&list), &slots[1]);
	assert_ptr_equal(lm_slot_list_take(&list), &slots[0]);
}

static void list_that_ran_empty_takes_slots_again(void **state)
{
	(void)state;
	lm_slot_list_prepend(&list, &slots[0]);
	lm_slot_list_take(&list);
	lm_slot_list_append(&list, &slots[1]);
	lm_slot_list_append(&list, &slots[2]);
	assert_ptr_equal(lm_slot_list_take(&list), &slots[1]);
	assert_ptr_equal(lm_slot_list_take(&list), &slots[2]);
}

static void list_counts_its_slots(void **state)
{
	(void)state;
	lm_slot_list_append(&list, &slots[0]);
	lm_slot_list_prepend(&list, &slots[1]);
	assert_int_equal(list.count, 2);
	lm_slot_list_take(&list);
	assert_int_equal(list.count, 1);
}

static void taken_slot_knows_no_next_one(void **state)
{
	(void)state;
	lm_slot_list_append(&list, &slots[0]);
	lm_slot_list_append(&list, &slots[1]);
	assert_null(lm_slot_list_take(&list)->next);
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

/* ---- budgets ------------------------------------------------------------- */

static struct lm_slot *start(enum lm_budget budget)
{
	return lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0], budget);
}

static void budget_is_all_that_can_be_started(enum lm_budget budget, size_t most)
{
	struct lm_slot *last = NULL;

	for (size_t i = 0; i < most; i++) {
		last = start(budget);
		assert_non_null(last);
		assert_int_equal(last->budget, budget);
	}
	assert_null(start(budget));
	assert_int_equal(stage.attachment.slots_in_use, most);
	lm_slot_cancel(last);
	assert_ptr_equal(start(budget), last);
}

static void budgets_are_apart(void **state)
{
	(void)state;
	budget_is_all_that_can_be_started(LM_BUDGET_DEMAND, DEMAND_SLOTS);
	stage.attachment.slots_in_use = 0;
	budget_is_all_that_can_be_started(LM_BUDGET_PREFETCH, PREFETCH_SLOTS);
	stage.attachment.slots_in_use = 0;
	budget_is_all_that_can_be_started(LM_BUDGET_PART, PART_SLOTS);
}

static void started_slot_knows_nothing_of_its_last_use(void **state)
{
	struct lm_slot *slot = start(LM_BUDGET_PART);

	(void)state;
	slot->gather = &stage.gathers[0];
	slot->gather->left = 2;
	slot->error = -EIO;
	slot->is_read = slot->healing = true;
	slot->attempts = slot->joined = 3;
	slot->installed = slot->demanded = 1;
	lm_slot_cancel(slot);
	assert_ptr_equal(start(LM_BUDGET_PART), slot);
	assert_null(slot->gather);
	assert_null(slot->job);
	assert_int_equal(slot->error, 0);
	assert_false(slot->is_read || slot->healing || slot->demand);
	assert_int_equal(slot->attempts + slot->joined, 0);
	assert_int_equal(slot->installed + slot->demanded, 0);
}

/* ---- find ---------------------------------------------------------------- */

static struct lm_slot *find(size_t page)
{
	return lm_slot_find(&stage.worker, &stage.regions[0], page);
}

/* Enough of them that they do not fit in one word of bits. */
static void each_of_many_slots_is_found_by_its_pages(void **state)
{
	struct lm_slot *parts[PART_SLOTS];

	(void)state;
	for (size_t i = 0; i < PART_SLOTS; i++) {
		parts[i] = start(LM_BUDGET_PART);
		parts[i]->first = 3 * i;
		parts[i]->count = 2;
	}
	for (size_t i = 0; i < PART_SLOTS; i++) {
		assert_ptr_equal(find(3 * i), parts[i]);
		assert_ptr_equal(find(3 * i + 1), parts[i]);
		assert_null(find(3 * i + 2));
	}
	for (size_t i = 0; i < PART_SLOTS; i += 2)
		lm_slot_cancel(parts[i]);
	for (size_t i = 0; i < PART_SLOTS; i++)
		assert_ptr_equal(find(3 * i), i % 2 ? parts[i] : NULL);
}

static void page_that_is_installed_is_of_no_slot(void **state)
{
	struct lm_slot *slot = claim_slot(3, 2, 2);

	(void)state;
	slot->installed = 1;
	assert_null(find(3));
	assert_ptr_equal(find(4), slot);
	assert_null(find(5));
}

static void page_of_another_region_is_not_found(void **state)
{
	(void)state;
	claim_slot(3, 1, 1);
	assert_null(lm_slot_find(&stage.worker, &stage.regions[1], 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_list_gives_nothing),
		TEST(appended_slots_come_first_in_first_out),
		TEST(prepended_slot_comes_first),
		TEST(list_that_ran_empty_takes_slots_again),
		TEST(list_counts_its_slots),
		TEST(taken_slot_knows_no_next_one),
		ON_PRIVATE(budgets_are_apart),
		ON_PRIVATE(started_slot_knows_nothing_of_its_last_use),
		ON_PRIVATE(each_of_many_slots_is_found_by_its_pages),
		ON_PRIVATE(page_that_is_installed_is_of_no_slot),
		ON_PRIVATE(page_of_another_region_is_not_found),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
