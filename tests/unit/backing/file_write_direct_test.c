/* wrap: pwrite pread lm_queue_write aligned_alloc */
/* SPDX-License-Identifier: MIT
 *
 * file_write_direct_test.c - writes to a file that is opened with O_DIRECT: all
 * of them go past the page cache, aligned or not.
 */
#include "file_fixture.h"

#include <pthread.h>

#undef LENGTH
#define LENGTH (64 * PAGE)

ssize_t __real_pwrite(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset);
void __real_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void __wrap_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static int write_error, read_error; /* the next call fails with it */
static size_t most;                 /* bytes that a call takes */
static unsigned writes, reads, queued_writes, buffered_writes;
static bool no_memory, read_ends;

static int take(int *error)
{
	const int taken = *error;

	*error = 0;
	errno = taken;
	return taken;
}

static void note_way(int fd)
{
	if ((fcntl(fd, F_GETFL) & O_DIRECT) == 0)
		__atomic_fetch_add(&buffered_writes, 1, __ATOMIC_RELAXED);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	__atomic_fetch_add(&writes, 1, __ATOMIC_RELAXED);
	note_way(fd);
	if (write_error != 0 && take(&write_error) != 0)
		return -1;
	return __real_pwrite(fd, bytes, length < most ? length : most, offset);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset)
{
	__atomic_fetch_add(&reads, 1, __ATOMIC_RELAXED);
	if (read_error != 0 && take(&read_error) != 0)
		return -1;
	if (read_ends)
		return 0;
	return __real_pread(fd, bytes, length, offset);
}

void __wrap_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset)
{
	queued_writes++;
	note_way(fd);
	__real_lm_queue_write(queue, operation, fd, bytes, length < most ? length : most, offset);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return no_memory ? NULL : __real_aligned_alloc(alignment, size);
}

static int open_window(uint64_t start, uint64_t length, unsigned flags)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = flags | LAZYMEM_FILE_WRITABLE,
						     .start = start,
						     .length = length};
	const int error = lazymem_file_open(path, &options, &backing);

	writes = reads = queued_writes = buffered_writes = 0;
	return error;
}

/* A file of whole pages, opened directly. */
static int set_up(void **state)
{
	(void)state;
	write_error = read_error = 0;
	no_memory = read_ends = false;
	most = SIZE_MAX;
	make_file();
	return truncate(path, LENGTH);
}

static void open_direct(void)
{
	open_file_direct(); /* or skip */
	lazymem_backing_unref(backing);
	backing = NULL;
	assert_int_equal(open_window(0, 0, LAZYMEM_FILE_DIRECT), 0);
}

static void assert_file(uint64_t start, size_t length, unsigned char fill)
{
	static unsigned char bytes[LENGTH + 1];
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(__real_pread(fd, bytes, sizeof(bytes), 0), LENGTH);
	close(fd);
	assert_true(sample_matches(bytes, 0, start));
	for (size_t i = 0; i < length; i++)
		assert_int_equal(bytes[start + i], fill);
	assert_true(
		sample_matches(bytes + start + length, start + length, LENGTH - start - length));
}

static void note_write(struct lazymem_write *write, int error)
{
	struct outcome *outcome = write->context;

	outcome->count++;
	outcome->error = error;
}

static int write_on_queue(struct lm_queue *queue, uint64_t offset, const void *bytes, size_t length)
{
	struct outcome outcome = {0};
	struct lazymem_write write = {.offset = offset,
				      .length = length,
				      .buffer = bytes,
				      .complete = note_write,
				      .context = &outcome,
				      .queue = queue};

	lazymem_backing_submit_write(backing, &write);
	while (outcome.count == 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	assert_int_equal(outcome.count, 1);
	return outcome.error;
}

static void whole_blocks_go_through_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_direct();
	memset(buffer, 0xcc, 4 * PAGE);
	assert_int_equal(write_on_queue(queue, 8 * PAGE, buffer, 4 * PAGE), 0);
	assert_int_equal(queued_writes, 1);
	assert_int_equal(writes + reads + buffered_writes, 0);
	assert_file(8 * PAGE, 4 * PAGE, 0xcc);
	lm_queue_destroy(queue);
}

static void what_is_not_aligned_goes_past_the_cache_too(void **state)
{
	static const struct {
		uint64_t offset;
		size_t length;
		size_t shift; /* of the buffer */
	} rows[] = {
		{0, 1, 0},
		{LENGTH - 1, 1, 0},
		{5, PAGE, 0},
		{PAGE - 1, 2, 1},
		{0, 3 * PAGE + 1, 0},
		{PAGE + 1, 3 * PAGE - 1, 0},
		{PAGE + 100, 40 * PAGE, 3},
		{PAGE, 2 * PAGE, 1},
		{0, LENGTH, 7},
		{1, LENGTH - 2, 0},
	};
	struct lm_queue *queue = make_queue();

	(void)state;
	open_direct();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int on_queue = 0; on_queue < 2; on_queue++) {
			unsigned char *bytes = buffer + rows[i].shift;
			const uint64_t offset = rows[i].offset;
			const size_t length = rows[i].length;

			memset(bytes, 0xcc, length);
			assert_int_equal(
				on_queue ? write_on_queue(queue, offset, bytes, length)
					 : lazymem_backing_write(backing, offset, bytes, length),
				0);
			assert_file(offset, length, 0xcc);
			sample_fill(bytes, offset, length);
			assert_int_equal(lazymem_backing_write(backing, offset, bytes, length), 0);
			assert_file(0, 0, 0);
		}
	}
	assert_int_equal(buffered_writes, 0);
	lm_queue_destroy(queue);
}

static void a_short_write_is_continued(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_direct();
	most = PAGE;
	memset(buffer, 0xcc, 4 * PAGE);
	assert_int_equal(write_on_queue(queue, 0, buffer, 4 * PAGE), 0);
	assert_int_equal(queued_writes, 4);
	assert_file(0, 4 * PAGE, 0xcc);
	assert_int_equal(lazymem_backing_write(backing, 100, buffer, 4 * PAGE), 0);
	assert_file(0, 4 * PAGE + 100, 0xcc);
	assert_int_equal(buffered_writes, 0);
	lm_queue_destroy(queue);
}

static void errors_of_reading_and_writing_around_are_passed_on(void **state)
{
	(void)state;
	open_direct();
	memset(buffer, 0xcc, 2 * PAGE);
	write_error = ENOSPC;
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, PAGE), -ENOSPC);
	write_error = ENOSPC;
	assert_int_equal(lazymem_backing_write(backing, 1, buffer, PAGE), -ENOSPC);
	read_error = EIO;
	assert_int_equal(lazymem_backing_write(backing, 1, buffer, PAGE), -EIO);
	no_memory = true;
	assert_int_equal(lazymem_backing_write(backing, 1, buffer, PAGE), -ENOMEM);
	no_memory = false;
	read_ends = true; /* the file shrank */
	assert_int_equal(lazymem_backing_write(backing, 1, buffer, PAGE), -ENODATA);
	read_ends = false;
	assert_file(0, 0, 0);
	read_error = EINTR;
	write_error = EINTR;
	assert_int_equal(lazymem_backing_write(backing, 1, buffer, PAGE), 0);
	assert_file(1, PAGE, 0xcc);
}

static void an_object_that_does_not_end_at_a_block_is_refused(void **state)
{
	(void)state;
	open_direct();
	lazymem_backing_unref(backing);
	backing = NULL;
	assert_int_equal(open_window(0, PAGE + 1, LAZYMEM_FILE_DIRECT), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), path));
	assert_int_equal(open_window(1, PAGE, LAZYMEM_FILE_DIRECT), -EINVAL);
	assert_null(backing);
	assert_int_equal(open_window(PAGE, PAGE, LAZYMEM_FILE_DIRECT), 0);
	memset(buffer, 0xcc, PAGE);
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, PAGE), 0);
	assert_file(PAGE, PAGE, 0xcc);
}

static void an_object_that_leaves_the_cache_alone_is_written_through_it(void **state)
{
	(void)state;
	assert_int_equal(open_window(1, 2 * PAGE, LAZYMEM_FILE_CACHED_OR_DIRECT), 0);
	memset(buffer, 0xcc, 2 * PAGE);
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, 2 * PAGE), 0);
	assert_int_equal(buffered_writes, 1);
	assert_file(1, 2 * PAGE, 0xcc);
	memset(buffer, 0, 2 * PAGE);
	assert_int_equal(lazymem_backing_read(backing, 0, buffer, 2 * PAGE), 0);
	for (size_t i = 0; i < 2 * PAGE; i++)
		assert_int_equal(buffer[i], 0xcc);
}

/* ---- threads ------------------------------------------------------------- */

enum { THREADS = 4, STRIPE = 100, ROUNDS = 40 };

/* Each thread has its own bytes, and shares every block with the others. Returns
 * how often they were not there after they had been written. */
static void *write_stripes(void *argument)
{
	const uint64_t first = (uintptr_t)argument * STRIPE;
	unsigned char bytes[STRIPE], read_back[STRIPE];
	uintptr_t undone = 0;

	for (unsigned round = 1; round <= ROUNDS; round++) {
		memset(bytes, (int)round, sizeof(bytes));
		for (uint64_t i = first; i + STRIPE <= PAGE; i += THREADS * STRIPE)
			if (lazymem_backing_write(backing, i, bytes, STRIPE) != 0)
				return (void *)UINTPTR_MAX;
		for (uint64_t i = first; i + STRIPE <= PAGE; i += THREADS * STRIPE)
			if (lazymem_backing_read(backing, i, read_back, STRIPE) != 0 ||
			    memcmp(read_back, bytes, STRIPE) != 0)
				undone++;
	}
	return (void *)undone;
}

static void writes_that_share_a_block_do_not_undo_each_other(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	open_direct();
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, write_stripes, (void *)i);
	for (unsigned i = 0; i < THREADS; i++) {
		void *undone;

		pthread_join(threads[i], &undone);
		assert_int_equal((uintptr_t)undone, 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_blocks_go_through_the_queue),
		TEST(what_is_not_aligned_goes_past_the_cache_too),
		TEST(a_short_write_is_continued),
		TEST(errors_of_reading_and_writing_around_are_passed_on),
		TEST(an_object_that_does_not_end_at_a_block_is_refused),
		TEST(an_object_that_leaves_the_cache_alone_is_written_through_it),
		TEST(writes_that_share_a_block_do_not_undo_each_other),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
