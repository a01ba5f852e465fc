/* wrap: pthread_create */
/* SPDX-License-Identifier: MIT
 *
 * inject_delay_test.c - reads that complete late on purpose.
 */
#include "inject_fixture.h"

#include "backing/queue.h"

#include <lazymem/file.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#define MS UINT64_C(1000000)

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument);

static bool no_threads;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
			  void *(*start)(void *), void *argument)
{
	return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, start, argument);
}

static struct lazymem_backing *make_delay(uint64_t nanoseconds)
{
	struct lazymem_backing *delay;

	assert_int_equal(lazymem_inject_delay(inner, everything, nanoseconds, &delay), 0);
	return delay;
}

static void a_read_completes_no_earlier(void **state)
{
	struct lazymem_backing *delay = make_delay(20 * MS);
	const uint64_t start = now_ns();

	(void)state;
	assert_reads(delay, 10, 4096);
	assert_true(now_ns() - start >= 20 * MS);
	lazymem_backing_unref(delay);
}

static void reads_outside_the_range_are_not_held_up(void **state)
{
	const struct lazymem_inject_range range = {.start = 4096, .length = 4096};
	struct lazymem_backing *delay;
	uint64_t start = now_ns();

	(void)state;
	assert_int_equal(lazymem_inject_delay(inner, range, HOUR, &delay), 0);
	assert_reads(delay, 0, 4096);
	assert_reads(delay, 8192, 4096);
	assert_true(now_ns() - start < HOUR);
	lazymem_backing_unref(delay);
	assert_int_equal(lazymem_inject_delay(inner, range, 10 * MS, &delay), 0);
	start = now_ns();
	assert_reads(delay, 4095, 2);
	assert_true(now_ns() - start >= 10 * MS);
	lazymem_backing_unref(delay);
}

static void errors_are_delayed_too(void **state)
{
	struct lazymem_backing *fail, *delay;
	const uint64_t start = now_ns();

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 1, &fail), 0);
	assert_int_equal(lazymem_inject_delay(fail, everything, 10 * MS, &delay), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_read(delay, 0, buffer, 1), -EIO);
	assert_true(now_ns() - start >= 10 * MS);
	lazymem_backing_unref(delay);
}

/* ---- many at once -------------------------------------------------------- */

struct timed_read {
	struct lazymem_read read;
	uint64_t submitted_ns, completed_ns;
	atomic_uint completions;
	unsigned char bytes[64];
};

static sem_t completed;

static void note_time(struct lazymem_read *read, int error)
{
	struct timed_read *timed = read->context;

	timed->completed_ns = now_ns();
	atomic_fetch_add(&timed->completions, error == 0 ? 1 : 100);
	sem_post(&completed);
}

static void submit_timed(struct lazymem_backing *backing, struct timed_read *timed, uint64_t offset)
{
	timed->read = (struct lazymem_read){.offset = offset,
					    .length = sizeof(timed->bytes),
					    .buffer = timed->bytes,
					    .complete = note_time,
					    .context = timed};
	timed->submitted_ns = now_ns();
	lazymem_backing_submit(backing, &timed->read);
}

static void wait_for_completion(void)
{
	while (sem_wait(&completed) != 0)
		assert_int_equal(errno, EINTR);
}

static void a_thousand_reads_are_delayed_side_by_side(void **state)
{
	enum { COUNT = 1000 };
	struct lazymem_backing *delay = make_delay(50 * MS);
	struct timed_read *reads = calloc(COUNT, sizeof(*reads));
	const uint64_t start = now_ns();

	(void)state;
	sem_init(&completed, 0, 0);
	for (unsigned i = 0; i < COUNT; i++)
		submit_timed(delay, &reads[i], i * 60);
	for (unsigned i = 0; i < COUNT; i++)
		wait_for_completion();
	assert_true(now_ns() - start < 25000 * MS); /* one after the other: 50 s */
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(atomic_load(&reads[i].completions), 1);
		assert_true(reads[i].completed_ns - reads[i].submitted_ns >= 50 * MS);
		assert_true(sample_matches(reads[i].bytes, i * 60, sizeof(reads[i].bytes)));
	}
	free(reads);
	lazymem_backing_unref(delay);
}

static bool two_reads_complete_in_order(void)
{
	const struct lazymem_inject_range first_bytes = {.start = 0, .length = 64};
	struct lazymem_backing *slow, *delay;
	struct timed_read reads[2] = {0};

	sem_init(&completed, 0, 0);
	assert_int_equal(lazymem_inject_delay(inner, first_bytes, 10 * MS, &slow), 0);
	assert_int_equal(lazymem_inject_delay(slow, everything, 200 * MS, &delay), 0);
	lazymem_backing_unref(slow);
	submit_timed(delay, &reads[0], 0); /* its inner read is over after that of the next */
	submit_timed(delay, &reads[1], 64);
	wait_for_completion();
	wait_for_completion();
	lazymem_backing_unref(delay);
	return reads[0].completed_ns <= reads[1].completed_ns;
}

/* A busy machine may end the inner read of the first only after both are due. */
static void reads_complete_in_the_order_they_are_due(void **state)
{
	unsigned tries = 8;

	(void)state;
	while (!two_reads_complete_in_order())
		assert_true(--tries > 0);
}

static void *read_repeatedly(void *argument)
{
	unsigned char bytes[16];

	for (int i = 0; i < 50; i++)
		if (lazymem_backing_read(argument, (uint64_t)i, bytes, sizeof(bytes)) != 0 ||
		    !sample_matches(bytes, (uint64_t)i, sizeof(bytes)))
			return argument;
	return NULL;
}

static void several_threads_read_at_once(void **state)
{
	struct lazymem_backing *delay = make_delay(MS / 10);
	pthread_t threads[4];
	void *result;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_repeatedly, delay), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	lazymem_backing_unref(delay);
}

/* ---- on a queue ---------------------------------------------------------- */

static void only_the_completion_of_queued_input_is_put_off(void **state)
{
	char *directory = sample_make_directory(), *path;
	struct lazymem_backing *file, *delay;
	struct timed_read timed = {0};
	struct lm_queue *queue;
	uint64_t deadline;

	(void)state;
	if (lm_queue_create(4, &queue) != 0) {
		sample_remove_directory(directory);
		skip();
	}
	assert_true(asprintf(&path, "%s/file", directory) > 0);
	sample_write(path, 0, 1 << 20);
	assert_int_equal(lazymem_file_open(path, NULL, &file), 0);
	assert_int_equal(lazymem_inject_delay(file, everything, 50 * MS, &delay), 0);
	lazymem_backing_unref(file);
	sem_init(&completed, 0, 0);

	timed.read = (struct lazymem_read){.length = 1 << 20,
					   .buffer = malloc(1 << 20),
					   .complete = note_time,
					   .context = &timed,
					   .queue = queue};
	timed.submitted_ns = now_ns();
	lazymem_backing_submit(delay, &timed.read);
	assert_int_equal(lm_queue_reads_in_flight(queue), 1); /* the inner read */
	deadline = now_ns() + HOUR;
	while (lm_queue_reads_in_flight(queue) > 0 && now_ns() < deadline)
		assert_true(lm_queue_run(queue, MS) >= 0);
	wait_for_completion();
	assert_int_equal(atomic_load(&timed.completions), 1);
	assert_true(timed.completed_ns - timed.submitted_ns >= 50 * MS);
	assert_true(sample_matches(timed.read.buffer, 0, 1 << 20));

	free(timed.read.buffer);
	lazymem_backing_unref(delay);
	lm_queue_destroy(queue);
	free(path);
	sample_remove_directory(directory);
}

/* ---- closing ------------------------------------------------------------- */

static void drop_and_post(struct lazymem_read *read, int error)
{
	assert_int_equal(error, 0);
	lazymem_backing_unref(read->backing);
	sem_post(&completed);
}

static void the_completion_may_drop_the_last_reference(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct lazymem_backing *delay = make_delay(MS);
		struct lazymem_read read = {
			.length = 1, .buffer = buffer, .complete = drop_and_post};

		sem_init(&completed, 0, 0);
		/* the thread of the delay then lets go of the inner object, in its own time */
		lazymem_backing_submit(delay, &read);
		wait_for_completion();
	}
}

static void closing_does_not_wait_for_the_delay(void **state)
{
	const uint64_t start = now_ns();

	(void)state;
	lazymem_backing_unref(make_delay(HOUR));
	assert_true(now_ns() - start < HOUR);
}

static void a_delay_without_end_is_possible(void **state)
{
	const struct lazymem_inject_range range = {.start = 0, .length = 1};
	struct lazymem_backing *delay;

	(void)state;
	assert_int_equal(lazymem_inject_delay(inner, range, UINT64_MAX, &delay), 0);
	assert_reads(delay, 1, 10);
	lazymem_backing_unref(delay);
}

static void its_thread_takes_no_signals(void **state)
{
	struct lazymem_backing *delay = make_delay(20 * MS);
	sigset_t usr1, before;

	(void)state;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &usr1, &before);
	kill(getpid(), SIGUSR1); /* would end the process if the thread took it */
	assert_reads(delay, 0, 10);
	assert_int_equal(sigtimedwait(&usr1, NULL, &(struct timespec){0}), SIGUSR1);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	lazymem_backing_unref(delay);
}

static void wrong_arguments_and_a_missing_thread_are_refused(void **state)
{
	struct lazymem_backing *delay = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_delay(NULL, everything, 1, &delay), -EINVAL);
	no_threads = true;
	assert_int_equal(lazymem_inject_delay(inner, everything, 1, &delay), -EAGAIN);
	no_threads = false;
	assert_null(delay);
}

static void wrappers_nest_in_any_order(void **state)
{
	struct lazymem_backing *fail, *outer;
	const uint64_t start = now_ns();

	(void)state;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 1, &fail), 0);
	assert_int_equal(lazymem_inject_delay(fail, everything, 5 * MS, &outer), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_inject_shorten(outer, everything, 2, &fail), 0);
	lazymem_backing_unref(outer);
	assert_int_equal(lazymem_inject_delay(fail, everything, 10 * MS, &outer), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_read(outer, 0, buffer, 8), -EIO);
	assert_int_equal(lazymem_backing_read(outer, 0, buffer, 8), -ENODATA);
	assert_reads(outer, 0, 8);
	assert_true(now_ns() - start >= 30 * MS);
	lazymem_backing_unref(outer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_completes_no_earlier),
		TEST(reads_outside_the_range_are_not_held_up),
		TEST(errors_are_delayed_too),
		TEST(a_thousand_reads_are_delayed_side_by_side),
		TEST(reads_complete_in_the_order_they_are_due),
		TEST(several_threads_read_at_once),
		TEST(only_the_completion_of_queued_input_is_put_off),
		TEST(the_completion_may_drop_the_last_reference),
		TEST(closing_does_not_wait_for_the_delay),
		TEST(a_delay_without_end_is_possible),
		TEST(its_thread_takes_no_signals),
		TEST(wrong_arguments_and_a_missing_thread_are_refused),
		TEST(wrappers_nest_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
