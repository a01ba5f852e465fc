/* wrap: io_uring_submit */
/* SPDX-License-Identifier: MIT
 *
 * queue_write_test.c - writes and what makes them durable, on the shared
 * io_uring queue.
 */
#include "queue_fixture.h"

/* The library's type stays behind queue.c: a pointer is enough to pass it on. */
struct io_uring;
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static int submit_error; /* every submission answers this */
static int target = -1;  /* a file to write */

int __wrap_io_uring_submit(struct io_uring *ring)
{
	return submit_error != 0 ? submit_error : __real_io_uring_submit(ring);
}

static int open_target(void **state)
{
	char *path;

	submit_error = 0;
	if (asprintf(&path, "%s/target", directory) < 0)
		return -1;
	target = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	free(path);
	return target < 0 ? -1 : set_up(state);
}

static int close_target(void **state)
{
	close(target);
	return tear_down(state);
}

static void a_write_puts_bytes_where_they_belong(void **state)
{
	struct noted write = {.operation.complete = note};
	unsigned char bytes[4096], read_back[4096];

	(void)state;
	sample_fill(bytes, 12345, sizeof(bytes));
	lm_queue_write(queue, &write.operation, target, bytes, sizeof(bytes), 12345);
	assert_int_equal(write.completions, 0);
	assert_int_equal(lm_queue_reads_in_flight(queue), 0);
	run_until(&write.completions, 1);
	assert_int_equal(write.result, sizeof(bytes));
	assert_false(write.more);
	assert_int_equal(pread(target, read_back, sizeof(read_back), 12345), sizeof(read_back));
	assert_true(sample_matches(read_back, 12345, sizeof(read_back)));
}

static void a_write_to_what_is_read_only_completes_with_the_error(void **state)
{
	struct noted write = {.operation.complete = note};

	(void)state;
	lm_queue_write(queue, &write.operation, file, "x", 1, 0);
	run_until(&write.completions, 1);
	assert_int_equal(write.result, -EBADF);
}

static void a_datasync_completes_once(void **state)
{
	struct noted sync = {.operation.complete = note}, bad = {.operation.complete = note};

	(void)state;
	assert_int_equal(pwrite(target, "x", 1, 0), 1);
	lm_queue_datasync(queue, &sync.operation, target);
	run_until(&sync.completions, 1);
	assert_int_equal(sync.result, 0);
	lm_queue_datasync(queue, &bad.operation, -1);
	run_until(&bad.completions, 1);
	assert_int_equal(bad.result, -EBADF);
	assert_int_equal(sync.completions, 1);
}

static void many_more_writes_than_entries_complete_once_each(void **state)
{
	enum { COUNT = 500, PIECE = 64 };
	struct noted *writes = calloc(COUNT, sizeof(*writes));
	unsigned char *bytes = malloc((size_t)COUNT * PIECE);
	unsigned completed = 0;

	(void)state;
	sample_fill(bytes, 0, (size_t)COUNT * PIECE);
	for (unsigned i = 0; i < COUNT; i++) {
		writes[i].operation.complete = note;
		lm_queue_write(queue, &writes[i].operation, target, bytes + i * PIECE, PIECE,
			       i * PIECE);
	}
	while (completed < COUNT) {
		const int called = lm_queue_run(queue, UINT64_MAX);

		assert_true(called >= 0);
		completed += (unsigned)called;
	}
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(writes[i].completions, 1);
		assert_int_equal(writes[i].result, PIECE);
	}
	memset(bytes, 0, (size_t)COUNT * PIECE);
	assert_int_equal(pread(target, bytes, COUNT * PIECE, 0), COUNT * PIECE);
	assert_true(sample_matches(bytes, 0, (size_t)COUNT * PIECE));
	free(bytes);
	free(writes);
}

static void what_the_kernel_refuses_completes_from_the_next_run(void **state)
{
	enum { COUNT = 40 };
	struct noted writes[COUNT];
	unsigned refused = 0, completed = 0;

	(void)state;
	submit_error = -EBADR;
	for (unsigned i = 0; i < COUNT; i++) {
		writes[i] = (struct noted){.operation.complete = note};
		if (i % 2 == 0)
			lm_queue_write(queue, &writes[i].operation, target, "x", 1, 0);
		else
			lm_queue_datasync(queue, &writes[i].operation, target);
		assert_int_equal(writes[i].completions, 0);
	}
	submit_error = 0;
	while (completed < COUNT)
		completed += (unsigned)lm_queue_run(queue, UINT64_MAX);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(writes[i].completions, 1);
		refused += writes[i].result == -EBADR;
	}
	assert_true(refused > 0 && refused < COUNT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_target, close_target)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_write_puts_bytes_where_they_belong),
		TEST(a_write_to_what_is_read_only_completes_with_the_error),
		TEST(a_datasync_completes_once),
		TEST(many_more_writes_than_entries_complete_once_each),
		TEST(what_the_kernel_refuses_completes_from_the_next_run),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
