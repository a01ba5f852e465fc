/* wrap: pthread_create */
/* SPDX-License-Identifier: MIT
 *
 * write_back_timer_test.c - the thread of periodic write-back begins, leaves
 * alone what is not served, and ends.
 */
#include "uffd/write_back_timer.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int create_error;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	return create_error != 0 ? create_error
				 : __real_pthread_create(thread, attributes, start, argument);
}

/* One that no worker serves, and that is not complete enough to be synced. */
static struct lazymem_attachment attachment;
static struct lm_lazy_region region;

static int set_up(void **state)
{
	(void)state;
	create_error = 0;
	memset(&attachment, 0, sizeof(attachment));
	region.attachment = &attachment;
	attachment.regions = &region;
	attachment.region_count = 1;
	return pthread_rwlock_init(&attachment.lock, NULL);
}

static int tear_down(void **state)
{
	(void)state;
	return pthread_rwlock_destroy(&attachment.lock);
}

static void no_thread_is_refused_and_leaves_nothing(void **state)
{
	(void)state;
	create_error = EAGAIN;
	assert_int_equal(lm_write_back_timer_start(&attachment, 1), -EAGAIN);
	assert_non_null(strstr(lazymem_error_message(), "thread of periodic write-back"));
	assert_null(attachment.write_back.timer);
}

static void what_was_not_started_can_be_stopped(void **state)
{
	(void)state;
	lm_write_back_timer_stop(&attachment);
	assert_null(attachment.write_back.timer);
}

static void what_is_not_served_is_left_alone(void **state)
{
	(void)state;
	assert_int_equal(lm_write_back_timer_start(&attachment, 1), 0);
	usleep(2000);
	lm_write_back_timer_stop(&attachment);
	assert_int_equal(attachment.statistics.counters[LM_SYNCS], 0);
	assert_int_equal(attachment.statistics.counters[LM_FAILED_SYNCS], 0);
}

static void an_interval_beyond_all_clocks_is_never(void **state)
{
	(void)state;
	assert_int_equal(lm_write_back_timer_start(&attachment, UINT64_MAX), 0);
	lm_write_back_timer_stop(&attachment);
	assert_null(attachment.write_back.timer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_thread_is_refused_and_leaves_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_was_not_started_can_be_stopped, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_served_is_left_alone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(an_interval_beyond_all_clocks_is_never, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
