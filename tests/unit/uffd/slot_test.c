/* SPDX-License-Identifier: MIT
 *
 * slot_test.c - the lists that slots wait in.
 */
/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "uffd/slot.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(empty_list_gives_nothing),   TEST(appended_slots_come_first_in_first_out),
		TEST(prepended_slot_comes_first), TEST(list_that_ran_empty_takes_slots_again),
		TEST(list_counts_its_slots),      TEST(taken_slot_knows_no_next_one),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);
}
