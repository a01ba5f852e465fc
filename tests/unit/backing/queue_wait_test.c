/* SPDX-License-Identifier: MIT
 *
 * queue_wait_test.c - what ends a wait on the shared io_uring queue: polls,
 * cancelled operations and wake-ups by other threads.
 */
#include "queue_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

/* ---- polls --------------------------------------------------------------- */

static void a_poll_completes_for_each_of_many_wakeups(void **state)
{
	struct noted poll = {.operation.complete = note};
	const int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	eventfd_t value;

	(void)state;
	lm_queue_poll(queue, &poll.operation, event);
	for (unsigned i = 1; i <= 1000; i++) {
		eventfd_write(event, 1);
		run_until(&poll.completions, i);
		assert_int_equal(poll.result & POLLIN, POLLIN);
		assert_true(poll.more);
		assert_int_equal(eventfd_read(event, &value), 0);
	}
	assert_int_equal(lm_queue_run(queue, 1000000), 0);
	lm_queue_cancel(queue, &poll.operation);
	run_until(&poll.completions, 1001);
	assert_int_equal(poll.result, -ECANCELED);
	assert_false(poll.more);
	close(event);
}

/* More readiness than the CQ ring holds makes the kernel drop polls. */
static void polls_are_armed_again_after_an_overflow(void **state)
{
	enum { COUNT = 400 };
	struct noted *polls = calloc(COUNT, sizeof(*polls));
	int events[COUNT];
	eventfd_t value;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		polls[i].operation.complete = note;
		lm_queue_poll(queue, &polls[i].operation, events[i]);
	}
	for (unsigned round = 1; round <= 3; round++) {
		for (unsigned i = 0; i < COUNT; i++) {
			polls[i].completions = 0;
			eventfd_write(events[i], 1);
		}
		for (unsigned i = 0; i < COUNT; i++) {
			run_until(&polls[i].completions, 1);
			assert_true(polls[i].more);
			assert_int_equal(eventfd_read(events[i], &value), 0);
		}
		while (lm_queue_run(queue, 1000000) > 0)
			continue;
	}
	for (unsigned i = 0; i < COUNT; i++)
		lm_queue_cancel(queue, &polls[i].operation);
	for (unsigned i = 0; i < COUNT; i++) {
		while (polls[i].more)
			assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
		close(events[i]);
	}
	free(polls);
}

/* What was dropped may not be collected yet when it is cancelled. */
static void polls_that_the_kernel_drops_can_be_cancelled(void **state)
{
	enum { COUNT = 400 };
	struct noted *polls = calloc(COUNT, sizeof(*polls));
	int events[COUNT];

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		events[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		polls[i] = (struct noted){.operation.complete = note, .more = true};
		lm_queue_poll(queue, &polls[i].operation, events[i]);
	}
	assert_int_equal(lm_queue_run(queue, 0), 0);
	for (unsigned i = 0; i < COUNT; i++)
		eventfd_write(events[i], 1);
	assert_true(lm_queue_run(queue, 0) < COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		lm_queue_cancel(queue, &polls[i].operation);
	for (unsigned i = 0; i < COUNT; i++) {
		while (polls[i].more)
			assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
		close(events[i]);
	}
	assert_int_equal(lm_queue_run(queue, 1000000), 0);
	free(polls);
}

static void a_poll_of_a_bad_descriptor_ends(void **state)
{
	struct noted poll = {.operation.complete = note};

	(void)state;
	lm_queue_poll(queue, &poll.operation, -1);
	run_until(&poll.completions, 1);
	assert_int_equal(poll.result, -EBADF);
	assert_false(poll.more);
}

static void cancel_from_its_own_completion(struct lm_operation *operation, int result, bool more)
{
	if (result >= 0)
		lm_queue_cancel(queue, operation);
	note(operation, result, more);
}

static void a_poll_can_be_cancelled_from_its_own_completion(void **state)
{
	struct noted poll = {.operation.complete = cancel_from_its_own_completion};
	const int event = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	lm_queue_poll(queue, &poll.operation, event);
	do
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	while (poll.more);
	assert_int_equal(poll.result, -ECANCELED);
	assert_int_equal(lm_queue_run(queue, 1000000), 0);
	close(event);
}

/* ---- cancel -------------------------------------------------------------- */

static void a_read_can_be_cancelled(void **state)
{
	struct noted read = {.operation.complete = note};
	unsigned char byte;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	lm_queue_read(queue, &read.operation, ends[0], &byte, 1, (uint64_t)-1);
	assert_int_equal(lm_queue_run(queue, 1000000), 0);
	lm_queue_cancel(queue, &read.operation);
	run_until(&read.completions, 1);
	assert_int_equal(read.result, -ECANCELED);
	close(ends[0]);
	close(ends[1]);
}

static void cancelling_what_is_over_has_no_effect(void **state)
{
	struct noted read = {.operation.complete = note};
	unsigned char byte;

	(void)state;
	lm_queue_read(queue, &read.operation, file, &byte, 1, 0);
	run_until(&read.completions, 1);
	lm_queue_cancel(queue, &read.operation);
	assert_int_equal(lm_queue_run(queue, 1000000), 0);
	assert_int_equal(read.completions, 1);
}

/* ---- wake ---------------------------------------------------------------- */

static void *wake_later(void *argument)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	nanosleep(&pause, NULL);
	lm_queue_wake(argument);
	return NULL;
}

static void a_wake_before_the_wait_ends_it(void **state)
{
	(void)state;
	lm_queue_wake(queue);
	assert_int_equal(lm_queue_run(queue, UINT64_MAX), 0);
}

static void a_wake_from_another_thread_ends_the_wait(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, wake_later, queue), 0);
		assert_int_equal(lm_queue_run(queue, UINT64_MAX), 0);
		pthread_join(thread, NULL);
	}
}

static void wakes_coalesce(void **state)
{
	const uint64_t start = now_ms();

	(void)state;
	for (int i = 0; i < 1000; i++)
		lm_queue_wake(queue);
	assert_int_equal(lm_queue_run(queue, UINT64_MAX), 0);
	assert_int_equal(lm_queue_run(queue, 20 * 1000000), 0);
	assert_true(now_ms() - start >= 19);
}

static atomic_uint posted;

static void *post_and_wake(void *argument)
{
	for (int i = 0; i < 20000; i++) {
		atomic_fetch_add(&posted, 1);
		lm_queue_wake(argument);
	}
	return NULL;
}

/* A wake that is lost would leave this waiting for ever. */
static void no_wake_is_lost(void **state)
{
	pthread_t threads[2];

	(void)state;
	atomic_store(&posted, 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_and_wake, queue), 0);
	while (atomic_load(&posted) < 40000)
		assert_int_equal(lm_queue_run(queue, UINT64_MAX), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_poll_completes_for_each_of_many_wakeups),
		TEST(polls_are_armed_again_after_an_overflow),
		TEST(polls_that_the_kernel_drops_can_be_cancelled),
		TEST(a_poll_of_a_bad_descriptor_ends),
		TEST(a_poll_can_be_cancelled_from_its_own_completion),
		TEST(a_read_can_be_cancelled),
		TEST(cancelling_what_is_over_has_no_effect),
		TEST(a_wake_before_the_wait_ends_it),
		TEST(a_wake_from_another_thread_ends_the_wait),
		TEST(wakes_coalesce),
		TEST(no_wake_is_lost),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
