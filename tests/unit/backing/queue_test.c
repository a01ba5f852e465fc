/* wrap: io_uring_queue_init_params io_uring_submit_and_wait_timeout io_uring_submit */
/* SPDX-License-Identifier: MIT
 *
 * queue_test.c - the shared io_uring queue: reads, polls, cancels, wakes.
 */
#include "backing/queue.h"

#include "sample.h"

#include <errno.h>
#include <lazymem/common.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>

#include <cmocka.h>

/* The library's types stay behind queue.c: pointers are enough to pass them on. */
struct io_uring;
struct io_uring_params;
struct io_uring_cqe;
struct __kernel_timespec;
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);
int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned count, struct __kernel_timespec *timeout,
					    void *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned count, struct __kernel_timespec *timeout,
					    void *mask);
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static int init_error;       /* every set-up answers this */
static unsigned init_einval; /* so many set-ups answer EINVAL first */
static unsigned inits;
static unsigned wait_eintr; /* so many waits answer EINTR first */
static int submit_error;    /* every submission answers this */
static unsigned calls;      /* of submit_and_wait and submit */

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params)
{
	inits++;
	if (init_error != 0)
		return init_error;
	if (init_einval > 0) {
		init_einval--;
		return -EINVAL;
	}
	return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
					    unsigned count, struct __kernel_timespec *timeout,
					    void *mask)
{
	calls++;
	if (wait_eintr > 0) {
		wait_eintr--;
		return -EINTR;
	}
	if (submit_error != 0)
		return submit_error;
	return __real_io_uring_submit_and_wait_timeout(ring, cqe, count, timeout, mask);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
	calls++;
	if (submit_error != 0)
		return submit_error;
	return __real_io_uring_submit(ring);
}

#define FILE_LENGTH (1 << 20)

static char *directory;
static int file = -1;
static struct lm_queue *queue;

static int make_file(void **state)
{
	char *path;

	(void)state;
	directory = sample_make_directory();
	if (asprintf(&path, "%s/file", directory) < 0)
		return -1;
	sample_write(path, 0, FILE_LENGTH);
	file = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	return file < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
	(void)state;
	close(file);
	sample_remove_directory(directory);
	return 0;
}

static int set_up(void **state)
{
	struct lm_queue *probe;
	const int error = lm_queue_create(8, &probe);

	(void)state;
	if (error == -ENOSYS || error == -EPERM) {
		fprintf(stderr, "skipped: %s\n", lazymem_error_message());
		exit(77);
	}
	queue = probe;
	return error;
}

static int tear_down(void **state)
{
	(void)state;
	submit_error = 0;
	lm_queue_destroy(queue);
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* An operation that notes how it ended. */
struct noted {
	struct lm_operation operation;
	unsigned completions;
	int result;
	bool more;
};

static void note(struct lm_operation *operation, int result, bool more)
{
	struct noted *noted = (struct noted *)operation;

	noted->completions++;
	noted->result = result;
	noted->more = more;
}

static void run_until(const unsigned *count, unsigned wanted)
{
	while (*count < wanted)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
}

/* ---- creation ------------------------------------------------------------ */

static void create_refuses_no_entries(void **state)
{
	struct lm_queue *none = NULL;

	(void)state;
	assert_int_equal(lm_queue_create(0, &none), -EINVAL);
	assert_int_equal(lm_queue_create(1u << 31, &none), -EINVAL);
	assert_null(none);
}

static void create_asks_for_less_where_the_kernel_knows_less(void **state)
{
	(void)state;
	for (unsigned refusals = 0; refusals < 3; refusals++) {
		struct noted read = {.operation.complete = note};
		unsigned char bytes[16];

		inits = 0;
		init_einval = refusals;
		assert_int_equal(lm_queue_create(4, &queue), 0);
		assert_int_equal(inits, refusals + 1);
		lm_queue_read(queue, &read.operation, file, bytes, sizeof(bytes), 5);
		run_until(&read.completions, 1);
		assert_true(sample_matches(bytes, 5, sizeof(bytes)));
		lm_queue_destroy(queue);
	}
}

static void create_says_why_there_is_no_io_uring(void **state)
{
	struct lm_queue *none = NULL;

	(void)state;
	init_error = -ENOSYS;
	assert_int_equal(lm_queue_create(4, &none), -ENOSYS);
	assert_non_null(strstr(lazymem_error_message(), "this kernel has none"));
	init_error = -EPERM;
	assert_int_equal(lm_queue_create(4, &none), -EPERM);
	assert_non_null(strstr(lazymem_error_message(), "kernel.io_uring_disabled"));
	init_error = -ENOMEM;
	assert_int_equal(lm_queue_create(4, &none), -ENOMEM);
	init_error = 0;
	init_einval = 3;
	assert_int_equal(lm_queue_create(4, &none), -EINVAL);
	init_einval = 0;
	assert_null(none);
}

static void destroy_allows_null(void **state)
{
	(void)state;
	lm_queue_destroy(NULL);
}

/* ---- reads --------------------------------------------------------------- */

static void a_read_delivers_bytes_with_one_call(void **state)
{
	struct noted read = {.operation.complete = note};
	unsigned char bytes[4096];

	(void)state;
	lm_queue_read(queue, &read.operation, file, bytes, sizeof(bytes), 12345);
	assert_int_equal(read.completions, 0);
	assert_int_equal(lm_queue_reads_in_flight(queue), 1);
	calls = 0;
	assert_int_equal(lm_queue_run(queue, UINT64_MAX), 1);
	assert_int_equal(calls, 1);
	assert_int_equal(read.completions, 1);
	assert_int_equal(read.result, sizeof(bytes));
	assert_false(read.more);
	assert_true(sample_matches(bytes, 12345, sizeof(bytes)));
	assert_int_equal(lm_queue_reads_in_flight(queue), 0);
}

static void a_read_across_the_end_is_short_and_past_it_empty(void **state)
{
	struct noted across = {.operation.complete = note}, past = {.operation.complete = note};
	unsigned char bytes[10];

	(void)state;
	lm_queue_read(queue, &across.operation, file, bytes, sizeof(bytes), FILE_LENGTH - 3);
	lm_queue_read(queue, &past.operation, file, bytes, sizeof(bytes), FILE_LENGTH);
	run_until(&across.completions, 1);
	run_until(&past.completions, 1);
	assert_int_equal(across.result, 3);
	assert_int_equal(past.result, 0);
}

static void a_read_of_a_bad_descriptor_completes_with_the_error(void **state)
{
	struct noted read = {.operation.complete = note};
	unsigned char byte;

	(void)state;
	lm_queue_read(queue, &read.operation, -1, &byte, 1, 0);
	run_until(&read.completions, 1);
	assert_int_equal(read.result, -EBADF);
}

static void a_run_without_waiting_still_submits(void **state)
{
	struct noted read = {.operation.complete = note};
	const uint64_t deadline = now_ms() + 5000;
	unsigned char bytes[16];

	(void)state;
	lm_queue_read(queue, &read.operation, file, bytes, sizeof(bytes), 0);
	while (read.completions == 0 && now_ms() < deadline)
		assert_true(lm_queue_run(queue, 0) >= 0);
	assert_int_equal(read.completions, 1);
	assert_int_equal(read.result, sizeof(bytes));
}

static void many_more_reads_than_entries_complete_once_each(void **state)
{
	enum { COUNT = 3000, PIECE = 64 };
	struct noted *reads = calloc(COUNT, sizeof(*reads));
	unsigned char *bytes = malloc((size_t)COUNT * PIECE);
	int completed = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT; i++) {
		reads[i].operation.complete = note;
		lm_queue_read(queue, &reads[i].operation, file, bytes + i * PIECE, PIECE, i * 101);
	}
	assert_int_equal(lm_queue_reads_in_flight(queue), COUNT);
	while (completed < COUNT) {
		const int called = lm_queue_run(queue, UINT64_MAX);

		assert_true(called >= 0);
		completed += called;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(reads[i].completions, 1);
		assert_int_equal(reads[i].result, PIECE);
		assert_true(sample_matches(bytes + i * PIECE, i * 101, PIECE));
	}
	assert_int_equal(lm_queue_reads_in_flight(queue), 0);
	free(bytes);
	free(reads);
}

/* A read that starts the next one from its completion. */
struct chain {
	struct lm_operation operation;
	unsigned char bytes[32];
	unsigned left;
	unsigned *ended;
};

static uint64_t chain_offset(const struct chain *chain)
{
	return (uint64_t)chain->left * 997 % (FILE_LENGTH - sizeof(chain->bytes));
}

static void continue_chain(struct lm_operation *operation, int result, bool more)
{
	struct chain *chain = (struct chain *)operation;

	assert_false(more);
	assert_int_equal(result, sizeof(chain->bytes));
	assert_true(sample_matches(chain->bytes, chain_offset(chain), sizeof(chain->bytes)));
	if (--chain->left == 0) {
		(*chain->ended)++;
		return;
	}
	lm_queue_read(queue, operation, file, chain->bytes, sizeof(chain->bytes),
		      chain_offset(chain));
}

static void completions_start_reads_ten_thousand_times(void **state)
{
	enum { CHAINS = 50, LINKS = 200 };
	struct chain chains[CHAINS];
	unsigned ended = 0;

	(void)state;
	for (unsigned i = 0; i < CHAINS; i++) {
		chains[i] = (struct chain){
			.operation.complete = continue_chain, .left = LINKS, .ended = &ended};
		lm_queue_read(queue, &chains[i].operation, file, chains[i].bytes,
			      sizeof(chains[i].bytes), chain_offset(&chains[i]));
	}
	run_until(&ended, CHAINS);
	assert_int_equal(lm_queue_reads_in_flight(queue), 0);
}

static void what_the_kernel_refuses_completes_from_the_next_run(void **state)
{
	struct noted reads[40];
	unsigned char byte;
	unsigned refused = 0;

	(void)state;
	submit_error = -EBADR;
	for (unsigned i = 0; i < 40; i++) {
		reads[i] = (struct noted){.operation.complete = note};
		lm_queue_read(queue, &reads[i].operation, file, &byte, 1, 0);
		assert_int_equal(reads[i].completions, 0);
	}
	submit_error = 0;
	while (lm_queue_reads_in_flight(queue) > 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) > 0);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(reads[i].completions, 1);
		refused += reads[i].result == -EBADR;
	}
	assert_true(refused > 0 && refused < 40);
}

/* ---- time and signals ---------------------------------------------------- */

static void a_wait_ends_when_its_time_is_up(void **state)
{
	const uint64_t start = now_ms();

	(void)state;
	assert_int_equal(lm_queue_run(queue, 0), 0);
	assert_true(now_ms() - start < 1000);
	assert_int_equal(lm_queue_run(queue, 50 * 1000000), 0);
	assert_true(now_ms() - start >= 49);
	assert_true(now_ms() - start < 5000);
}

static void a_signal_does_not_end_the_wait(void **state)
{
	const uint64_t start = now_ms();

	(void)state;
	wait_eintr = 3;
	assert_int_equal(lm_queue_run(queue, 30 * 1000000), 0);
	assert_int_equal(wait_eintr, 0);
	assert_true(now_ms() - start >= 29);
}

static void a_lasting_error_is_returned(void **state)
{
	(void)state;
	submit_error = -EBADR;
	assert_int_equal(lm_queue_run(queue, UINT64_MAX), -EBADR);
	assert_int_equal(lm_queue_run(queue, 0), -EBADR);
	submit_error = -EAGAIN;
	assert_int_equal(lm_queue_run(queue, UINT64_MAX), 0);
}

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
		TEST(a_read_delivers_bytes_with_one_call),
		cmocka_unit_test(create_refuses_no_entries),
		cmocka_unit_test(create_asks_for_less_where_the_kernel_knows_less),
		cmocka_unit_test(create_says_why_there_is_no_io_uring),
		cmocka_unit_test(destroy_allows_null),
		TEST(a_read_across_the_end_is_short_and_past_it_empty),
		TEST(a_read_of_a_bad_descriptor_completes_with_the_error),
		TEST(a_run_without_waiting_still_submits),
		TEST(many_more_reads_than_entries_complete_once_each),
		TEST(completions_start_reads_ten_thousand_times),
		TEST(what_the_kernel_refuses_completes_from_the_next_run),
		TEST(a_wait_ends_when_its_time_is_up),
		TEST(a_signal_does_not_end_the_wait),
		TEST(a_lasting_error_is_returned),
		TEST(a_poll_completes_for_each_of_many_wakeups),
		TEST(polls_are_armed_again_after_an_overflow),
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
