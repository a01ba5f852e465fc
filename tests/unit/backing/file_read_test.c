/* wrap: preadv2 pread */
/* SPDX-License-Identifier: MIT
 *
 * file_read_test.c - what happens to a read of a file that is cached or not,
 * aligned or not, meets an error, ends short, or finds the file shrunk. preadv2
 * and pread are wrapped to fail on demand; otherwise they are the kernel's.
 */
#include "file_fixture.h"

#include <sys/uio.h>

ssize_t __real_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __real_pread(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset);

/* preadv2 and pread: fail so many times with this errno value, and deliver at
 * most so many bytes. */
static int read_error;
static unsigned read_errors;
static size_t read_most;
static unsigned cached_reads, plain_reads;
static bool was_direct; /* the last pread */

static bool read_fails(void)
{
	if (read_errors == 0)
		return false;
	read_errors--;
	errno = read_error;
	return true;
}

ssize_t __wrap_preadv2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
	struct iovec shorter = iov[0];

	cached_reads++;
	assert_int_equal(count, 1);
	assert_int_equal(flags, RWF_NOWAIT);
	if (read_fails())
		return -1;
	if (shorter.iov_len > read_most)
		shorter.iov_len = read_most;
	return __real_preadv2(fd, &shorter, 1, offset, flags);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset)
{
	plain_reads++;
	was_direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
	if (read_fails())
		return -1;
	return __real_pread(fd, bytes, length < read_most ? length : read_most, offset);
}

static int set_up(void **state)
{
	(void)state;
	read_errors = 0;
	read_most = SIZE_MAX;
	cached_reads = 0;
	plain_reads = 0;
	return make_file();
}

static void a_cached_page_is_there_when_submit_returns(void **state)
{
	struct lm_queue *queue = make_queue();
	struct outcome outcome = {0};
	struct lazymem_read read = {.offset = 5 * PAGE,
				    .length = PAGE,
				    .buffer = buffer,
				    .complete = note,
				    .context = &outcome,
				    .queue = queue};

	(void)state;
	open_file(0);
	assert_reads(5 * PAGE, PAGE);
	memset(buffer, 0, PAGE);
	lazymem_backing_submit(backing, &read);
	if (cached_reads == 1 && outcome.count == 0) { /* a file system without RWF_NOWAIT */
		while (outcome.count == 0)
			assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
		lm_queue_destroy(queue);
		skip();
	}
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, 0);
	assert_true(sample_matches(buffer, 5 * PAGE, PAGE));
	lm_queue_destroy(queue);
}

static void what_is_not_cached_goes_through_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	read_error = EAGAIN;
	read_errors = 1;
	assert_reads_on_queue(queue, 7 * PAGE, PAGE);
	assert_int_equal(plain_reads, 0);
	assert_int_equal(cached_reads, 1);
	lm_queue_destroy(queue);
}

static void a_partly_cached_read_is_finished_by_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	read_most = 100;
	assert_reads_on_queue(queue, 3, 3 * PAGE);
	assert_int_equal(cached_reads, 1);
	lm_queue_destroy(queue);
}

static void the_cache_is_not_asked_again_where_it_cannot_answer(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	read_error = EOPNOTSUPP;
	read_errors = 1;
	assert_reads_on_queue(queue, 0, PAGE);
	assert_reads_on_queue(queue, PAGE, PAGE);
	assert_int_equal(cached_reads, 1);
	lm_queue_destroy(queue);
}

static void large_reads_do_not_hold_up_the_worker(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	assert_reads_on_queue(queue, 1, 40 * PAGE);
	assert_int_equal(cached_reads, 0);
	lm_queue_destroy(queue);
}

static void with_reads_in_flight_the_ring_takes_all(void **state)
{
	enum { COUNT = 60 };
	struct lm_queue *queue = make_queue();
	struct outcome outcomes[COUNT] = {0};
	struct lazymem_read reads[COUNT];

	(void)state;
	open_file(0);
	read_error = EAGAIN;
	read_errors = 1;
	for (unsigned i = 0; i < COUNT; i++) {
		reads[i] = (struct lazymem_read){.offset = i * PAGE,
						 .length = PAGE,
						 .buffer = buffer + i * PAGE,
						 .complete = note,
						 .context = &outcomes[i],
						 .queue = queue};
		lazymem_backing_submit(backing, &reads[i]);
	}
	assert_int_equal(lm_queue_reads_in_flight(queue), COUNT);
	assert_int_equal(cached_reads, 1);
	while (lm_queue_reads_in_flight(queue) > 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(outcomes[i].count, 1);
		assert_int_equal(outcomes[i].error, 0);
	}
	assert_true(sample_matches(buffer, 0, COUNT * PAGE));
	lm_queue_destroy(queue);
}

static void a_read_error_of_the_cache_is_left_to_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	read_error = EIO;
	read_errors = 1;
	assert_reads_on_queue(queue, 0, PAGE);
	lm_queue_destroy(queue);
}

static void a_shrunk_file_fails_on_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(0);
	assert_int_equal(truncate(path, 10 * PAGE + 7), 0);
	assert_reads_on_queue(queue, 9 * PAGE, PAGE);
	assert_int_equal(read_on_queue(queue, 10 * PAGE, PAGE), -ENODATA);
	assert_int_equal(read_on_queue(queue, 20 * PAGE, PAGE), -ENODATA);
	assert_int_equal(read_on_queue(queue, 0, 40 * PAGE), -ENODATA);
	lm_queue_destroy(queue);
}

/* ---- reads without a queue ----------------------------------------------- */

static void every_length_and_offset_reads_right(void **state)
{
	static const uint64_t offsets[] = {0, 1, PAGE - 1, PAGE, PAGE + 1, 63 * PAGE};
	static const size_t lengths[] = {1, 511, PAGE - 1, PAGE, PAGE + 1, PAGE + 123};

	(void)state;
	open_file(0);
	assert_int_equal(lazymem_backing_length(backing), LENGTH);
	assert_string_equal(lazymem_backing_name(backing), path);
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++)
			assert_reads(offsets[i], lengths[j]);
	assert_reads(0, LENGTH);
	assert_reads(LENGTH - 1, 1);
}

static void short_reads_and_interruptions_are_continued(void **state)
{
	(void)state;
	open_file(0);
	read_error = EINTR;
	read_errors = 3;
	read_most = 1000;
	assert_reads(17, 3 * PAGE);
	assert_int_equal(plain_reads, 3 + 13);
}

static void a_read_error_is_passed_on(void **state)
{
	(void)state;
	open_file(0);
	read_error = EIO;
	read_errors = 1;
	assert_int_equal(lazymem_backing_read(backing, 0, buffer, PAGE), -EIO);
	assert_non_null(strstr(lazymem_error_message(), path));
}

static void a_shrunk_file_fails(void **state)
{
	(void)state;
	open_file(0);
	assert_int_equal(truncate(path, LENGTH - 1), 0);
	assert_int_equal(lazymem_backing_read(backing, LENGTH - 1, buffer, 1), -ENODATA);
	assert_int_equal(lazymem_backing_read(backing, 63 * PAGE, buffer, PAGE + 123), -ENODATA);
	assert_reads(63 * PAGE, PAGE + 122);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(lazymem_backing_read(backing, 0, buffer, 1), -ENODATA);
}

/* ---- O_DIRECT ------------------------------------------------------------ */

static void direct_reads_whole_blocks_the_tail_and_what_is_not_aligned(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file_direct();
	assert_reads_on_queue(queue, 0, PAGE);
	assert_int_equal(cached_reads, 0);
	assert_reads_on_queue(queue, 60 * PAGE, LENGTH - 60 * PAGE);
	assert_reads_on_queue(queue, 64 * PAGE, 123);
	assert_reads_on_queue(queue, 1, PAGE);
	assert_reads_on_queue(queue, PAGE, PAGE - 1);
	assert_reads_on_queue(queue, 0, LENGTH);
	buffer++;
	assert_reads_on_queue(queue, 0, 2 * PAGE);
	assert_reads(PAGE, PAGE);
	buffer--;
	assert_reads(0, LENGTH);
	lm_queue_destroy(queue);
}

static void direct_reads_at_an_odd_start(void **state)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options), .flags = LAZYMEM_FILE_DIRECT, .start = 100};

	(void)state;
	open_file_direct();
	lazymem_backing_unref(backing);
	assert_int_equal(lazymem_file_open(path, &options, &backing), 0);
	assert_int_equal(lazymem_backing_read(backing, 0, buffer, 2 * PAGE), 0);
	assert_true(sample_matches(buffer, 100, 2 * PAGE));
	assert_int_equal(lazymem_backing_read(backing, PAGE - 100, buffer, 2 * PAGE), 0);
	assert_true(sample_matches(buffer, PAGE, 2 * PAGE));
}

static void a_direct_read_refused_for_its_alignment_is_read_buffered(void **state)
{
	(void)state;
	open_file_direct();
	read_error = EINVAL;
	read_errors = 1;
	assert_reads(0, PAGE);
	assert_int_equal(plain_reads, 2);
	assert_false(was_direct);
	assert_reads(0, PAGE);
	assert_true(was_direct);
}

static void a_shrunk_file_fails_directly_too(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file_direct();
	assert_int_equal(truncate(path, 10 * PAGE), 0);
	assert_int_equal(read_on_queue(queue, 10 * PAGE, PAGE), -ENODATA);
	assert_int_equal(read_on_queue(queue, 9 * PAGE, 2 * PAGE), -ENODATA);
	assert_reads_on_queue(queue, 9 * PAGE, PAGE);
	lm_queue_destroy(queue);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_cached_page_is_there_when_submit_returns),
		TEST(what_is_not_cached_goes_through_the_queue),
		TEST(a_partly_cached_read_is_finished_by_the_queue),
		TEST(the_cache_is_not_asked_again_where_it_cannot_answer),
		TEST(large_reads_do_not_hold_up_the_worker),
		TEST(with_reads_in_flight_the_ring_takes_all),
		TEST(a_read_error_of_the_cache_is_left_to_the_queue),
		TEST(a_shrunk_file_fails_on_the_queue),
		TEST(every_length_and_offset_reads_right),
		TEST(short_reads_and_interruptions_are_continued),
		TEST(a_read_error_is_passed_on),
		TEST(a_shrunk_file_fails),
		TEST(direct_reads_whole_blocks_the_tail_and_what_is_not_aligned),
		TEST(direct_reads_at_an_odd_start),
		TEST(a_direct_read_refused_for_its_alignment_is_read_buffered),
		TEST(a_shrunk_file_fails_directly_too),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
