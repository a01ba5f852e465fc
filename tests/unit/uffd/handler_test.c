/* wrap: pthread_create */
/* SPDX-License-Identifier: MIT
 *
 * handler_test.c - what a handler refuses to be made of: the message names the
 * option and its value, and no thread is left behind.
 */
/* cmocka wants these before it */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <lazymem/handler.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *argument);

static struct {
	int failing; /* this creation fails, counted from 1 */
	int error;
	int creations, created;
} threads;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *argument)
{
	int error;

	if (++threads.creations == threads.failing)
		return threads.error;
	error = __real_pthread_create(thread, attributes, run, argument);
	threads.created += error == 0;
	return error;
}

static int count_threads(void)
{
	DIR *directory = opendir("/proc/self/task");
	int count = 0;

	assert_non_null(directory);
	while (readdir(directory) != NULL)
		count++;
	closedir(directory);
	return count;
}

static int baseline; /* threads when no handler is there */

static void *wait_for_barrier(void *barrier)
{
	pthread_barrier_wait(barrier);
	return NULL;
}

/* Counted with a thread running, since a sanitizer adds one of its own with the first. */
static int count_baseline(void **state)
{
	pthread_barrier_t barrier;
	pthread_t thread;

	(void)state;
	pthread_barrier_init(&barrier, NULL, 2);
	if (__real_pthread_create(&thread, NULL, wait_for_barrier, &barrier) != 0)
		return -1;
	baseline = count_threads() - 1;
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&barrier);
	return 0;
}

/* A thread that was joined may still be listed for a moment. */
static void assert_threads(int of_handlers)
{
	for (int i = 0; i < 2000 && count_threads() != baseline + of_handlers; i++)
		usleep(1000);
	assert_int_equal(count_threads(), baseline + of_handlers);
}

static int set_up(void **state)
{
	(void)state;
	memset(&threads, 0, sizeof(threads));
	return 0;
}

static struct lazymem_handler_options defaults(void)
{
	return (struct lazymem_handler_options){.size = sizeof(struct lazymem_handler_options)};
}

/* Refused with `expected`, in a sentence with both parts, before any thread. */
static void assert_refused(const struct lazymem_handler_options *options, int expected,
			   const char *part, const char *other)
{
	struct lazymem_handler *handler = NULL;

	assert_int_equal(lazymem_handler_create(options, &handler), expected);
	assert_null(handler);
	if (strstr(lazymem_error_message(), part) == NULL ||
	    strstr(lazymem_error_message(), other) == NULL)
		fail_msg("\"%s\" or \"%s\" is not in \"%s\"", part, other, lazymem_error_message());
	assert_int_equal(threads.creations, 0);
}

static void size_below_its_own_is_refused(void **state)
{
	struct lazymem_handler_options options = {.size = 4};

	(void)state;
	assert_refused(&options, -EINVAL, "struct lazymem_handler_options", "size 4");
}

static void unknown_option_is_refused(void **state)
{
	struct {
		struct lazymem_handler_options known;
		uint64_t unknown;
	} options = {.known = {.size = sizeof(options)}, .unknown = 1};

	(void)state;
	assert_refused(&options.known, -E2BIG, "struct lazymem_handler_options", "is set");
}

static void too_many_workers_are_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.workers = 1025;
	assert_refused(&options, -EINVAL, "workers is 1025", "1024");
}

static void deep_demand_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.demand_depth = 1025;
	assert_refused(&options, -EINVAL, "demand_depth is 1025", "1024");
}

static void deep_prefetch_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.prefetch_depth = 65;
	assert_refused(&options, -EINVAL, "prefetch_depth is 65", "64");
}

static void depth_of_the_largest_number_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.prefetch_depth = UINT_MAX;
	assert_refused(&options, -EINVAL, "prefetch_depth is 4294967295", "64");
}

static void small_piece_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.prefetch_piece = 2048;
	assert_refused(&options, -EINVAL, "prefetch_piece is 2048", "4096");
}

static void large_piece_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.prefetch_piece = (size_t)4 << 20;
	assert_refused(&options, -EINVAL, "prefetch_piece is 4194304", "2097152");
}

static void odd_piece_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.prefetch_piece = 12288;
	assert_refused(&options, -EINVAL, "prefetch_piece is 12288", "power of two");
}

static void cpus_without_a_count_are_refused(void **state)
{
	struct lazymem_handler_options options = defaults();
	const int cpu = 0;

	(void)state;
	options.cpus = &cpu;
	assert_refused(&options, -EINVAL, "cpus", "cpu_count");
}

static void count_without_cpus_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();

	(void)state;
	options.cpu_count = 1;
	assert_refused(&options, -EINVAL, "cpus", "cpu_count");
}

static void negative_cpu_is_refused(void **state)
{
	struct lazymem_handler_options options = defaults();
	const int cpus[] = {0, -7};

	(void)state;
	options.cpus = cpus;
	options.cpu_count = 2;
	assert_refused(&options, -EINVAL, "cpus[1]", "-7");
}

/* ---- threads that cannot be had ------------------------------------------ */

static void need_io_uring(void)
{
	struct lazymem_handler *handler;

	if (lazymem_handler_create(NULL, &handler) != 0) {
		fprintf(stderr, "skipped: %s\n", lazymem_error_message());
		skip();
	}
	lazymem_handler_destroy(handler);
	assert_threads(0);
	set_up(NULL);
}

static void default_is_one_worker(void **state)
{
	struct lazymem_handler *handler = NULL;

	(void)state;
	need_io_uring();
	assert_int_equal(lazymem_handler_create(NULL, &handler), 0);
	assert_int_equal(threads.created, 1);
	assert_int_equal(lazymem_handler_destroy(handler), 0);
}

static void destroyed_handler_leaves_no_thread(void **state)
{
	struct lazymem_handler_options options = defaults();
	struct lazymem_handler *handler = NULL;

	(void)state;
	need_io_uring();
	options.workers = 3;
	assert_int_equal(lazymem_handler_create(&options, &handler), 0);
	assert_int_equal(threads.created, 3);
	assert_threads(3);
	assert_int_equal(lazymem_handler_destroy(handler), 0);
	assert_threads(0);
}

static void worker_that_cannot_start_takes_the_others_with_it(void **state)
{
	struct lazymem_handler_options options = defaults();
	struct lazymem_handler *handler = NULL;

	(void)state;
	need_io_uring();
	options.workers = 3;
	threads.failing = 3;
	threads.error = EAGAIN;
	assert_int_equal(lazymem_handler_create(&options, &handler), -EAGAIN);
	assert_null(handler);
	assert_int_equal(threads.created, 2);
	assert_threads(0);
}

static void cpu_that_is_not_there_is_named(void **state)
{
	struct lazymem_handler_options options = defaults();
	struct lazymem_handler *handler = NULL;
	const int cpu = 1000000;

	(void)state;
	options.cpus = &cpu;
	options.cpu_count = 1;
	assert_int_equal(lazymem_handler_create(&options, &handler), -EINVAL);
	assert_null(handler);
	assert_non_null(strstr(lazymem_error_message(), "1000000"));
}

static void destroying_no_handler_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(lazymem_handler_destroy(NULL), 0);
}

#define TEST(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(size_below_its_own_is_refused),
		TEST(unknown_option_is_refused),
		TEST(too_many_workers_are_refused),
		TEST(deep_demand_is_refused),
		TEST(deep_prefetch_is_refused),
		TEST(depth_of_the_largest_number_is_refused),
		TEST(small_piece_is_refused),
		TEST(large_piece_is_refused),
		TEST(odd_piece_is_refused),
		TEST(cpus_without_a_count_are_refused),
		TEST(count_without_cpus_is_refused),
		TEST(negative_cpu_is_refused),
		TEST(default_is_one_worker),
		TEST(destroyed_handler_leaves_no_thread),
		TEST(worker_that_cannot_start_takes_the_others_with_it),
		TEST(cpu_that_is_not_there_is_named),
		TEST(destroying_no_handler_is_allowed),
	};

	return cmocka_run_group_tests_name(__FILE__, tests, count_baseline, NULL);
}
