/* wrap: io_uring_queue_init_params io_uring_submit_and_wait_timeout io_uring_submit */
/* SPDX-License-Identifier: MIT
 *
 * queue_test.c - the shared io_uring queue: set-up, reads, errors and time. The
 * calls of liburing are wrapped to refuse on demand.
 */
#include "queue_fixture.h"

#include <linux/time_types.h>

/* The library's types stay behind queue.c: pointers are enough to pass them on. */
struct io_uring;
struct io_uring_params;
struct io_uring_cqe;
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
static unsigned wait_eintr; /* so many waits answer EINTR first, after 1 ms each */
static long long wait_ns;   /* what the last wait was given */
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
	wait_ns = timeout != NULL ? timeout->tv_nsec : -1;
	if (wait_eintr > 0) {
		const struct timespec pause = {.tv_nsec = 1000000};

		wait_eintr--;
		nanosleep(&pause, NULL);
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
	const uint64_t deadline = now_ms() + 200000;
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
	assert_true(wait_ns <= 27 * 1000000);
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
	submit_error = 0;
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
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
