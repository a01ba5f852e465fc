/* SPDX-License-Identifier: MIT
 *
 * lazyvm_migrate_watch_test.c - where the guest is, as others are told.
 */
#include "fault.h"
#include "migrate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int begin(void **state)
{
	const struct migrate_options options = {.address = "there:1"};
	int stop_fd;

	(void)state;
	return migrate_begin(&options, &stop_fd);
}

static int end(void **state)
{
	(void)state;
	migrate_end();
	return 0;
}

static void a_guest_is_here_until_it_was_switched_over(void **state)
{
	(void)state;
	assert_int_equal(migrate_check_here(), 0);
	migrate_set_phase(MIGRATE_COPYING, false);
	assert_int_equal(migrate_check_here(), 0);
	assert_int_equal(migrate_commit(), 0);
	assert_int_equal(migrate_check_here(), -1);
	assert_non_null(strstr(fault_message(), "there:1"));
}

static void what_was_cancelled_is_not_switched_over(void **state)
{
	(void)state;
	assert_int_equal(migrate_cancel(false), 0);
	assert_int_equal(migrate_commit(), -1);
	assert_int_equal(migrate_check_here(), 0);
}

static void a_guest_that_was_taken_back_is_here_and_no_migration_is_under_way(void **state)
{
	char text[200];

	(void)state;
	assert_int_equal(migrate_commit(), 0);
	migrate_take_back();
	assert_int_equal(migrate_check_here(), 0);
	assert_true(migrate_is_committed());
	assert_int_equal(migrate_cancel(true), -1);
	migrate_describe(text, sizeof(text));
	assert_string_equal(text, "");
}

static void the_next_migration_begins_anew(void **state)
{
	(void)state;
	assert_int_equal(migrate_commit(), 0);
	migrate_take_back();
	end(NULL);
	assert_int_equal(begin(NULL), 0);
	assert_int_equal(migrate_commit(), 0);
	assert_int_equal(migrate_check_here(), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_guest_is_here_until_it_was_switched_over, begin,
						end),
		cmocka_unit_test_setup_teardown(what_was_cancelled_is_not_switched_over, begin,
						end),
		cmocka_unit_test_setup_teardown(
			a_guest_that_was_taken_back_is_here_and_no_migration_is_under_way, begin,
			end),
		cmocka_unit_test_setup_teardown(the_next_migration_begins_anew, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
