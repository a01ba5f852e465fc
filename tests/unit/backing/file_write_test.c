/* wrap: pwrite pread fdatasync sync_file_range fallocate lm_queue_write lm_queue_datasync */
/* SPDX-License-Identifier: MIT
 *
 * file_write_test.c - what happens to a write, a flush and a discard of a file:
 * aligned or not, short, interrupted, refused. System calls, and what the queue
 * answers, are bent on demand; otherwise they are the kernel's.
 */
#include "file_fixture.h"

#include <sys/mman.h>

ssize_t __real_pwrite(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t length, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_sync_file_range(int fd, off_t start, off_t length, unsigned flags);
int __real_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
void __real_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void __wrap_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset);
void __real_lm_queue_datasync(struct lm_queue *queue, struct lm_operation *operation, int fd);
void __wrap_lm_queue_datasync(struct lm_queue *queue, struct lm_operation *operation, int fd);

/* The calls below fail so many times with this errno value, and take at most so
 * many bytes; those of the queue complete with it. */
static int call_error;
static unsigned call_errors;
static size_t most;
static unsigned writes, queued_writes, syncs, beginnings;
static bool was_direct; /* the last write */

static bool call_fails(void)
{
	if (call_errors == 0)
		return false;
	call_errors--;
	errno = call_error;
	return true;
}

static bool is_direct(int fd)
{
	return (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	writes++;
	was_direct = is_direct(fd);
	if (call_fails())
		return -1;
	return __real_pwrite(fd, bytes, length < most ? length : most, offset);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset)
{
	return __real_pread(fd, bytes, length, offset);
}

int __wrap_fdatasync(int fd)
{
	syncs++;
	return call_fails() ? -1 : __real_fdatasync(fd);
}

int __wrap_sync_file_range(int fd, off_t start, off_t length, unsigned flags)
{
	(void)fd, (void)start, (void)length;
	assert_int_equal(flags, SYNC_FILE_RANGE_WRITE); /* nobody waits, no error is taken away */
	beginnings++;
	return 0;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return call_fails() ? -1 : __real_fallocate(fd, mode, offset, length);
}

static void (*bent)(struct lm_operation *operation, int result, bool more);

static void complete_bent(struct lm_operation *operation, int result, bool more)
{
	(void)result;
	operation->complete = bent;
	bent(operation, call_error == 0 ? 0 : -call_error, more);
}

static void bend(struct lm_operation *operation)
{
	if (!call_fails())
		return;
	bent = operation->complete;
	operation->complete = complete_bent;
}

void __wrap_lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
			   const void *bytes, size_t length, uint64_t offset)
{
	queued_writes++;
	was_direct = is_direct(fd);
	bend(operation);
	__real_lm_queue_write(queue, operation, fd, bytes, length < most ? length : most, offset);
}

void __wrap_lm_queue_datasync(struct lm_queue *queue, struct lm_operation *operation, int fd)
{
	bend(operation);
	__real_lm_queue_datasync(queue, operation, fd);
}

static int set_up(void **state)
{
	(void)state;
	call_error = EIO;
	call_errors = 0;
	most = SIZE_MAX;
	make_file();
	writes = queued_writes = syncs = beginnings = 0;
	return 0;
}

/* The next call fails. */
static void fail_next(int error, unsigned count)
{
	call_error = error;
	call_errors = count;
}

/* Past the page cache, where writes go through the queue; whole pages of the file. */
static void open_for_queue(void)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_FILE_WRITABLE | LAZYMEM_FILE_DIRECT,
		.length = 64 * PAGE,
	};
	const int error = lazymem_file_open(path, &options, &backing);

	if (error == -EINVAL || error == -EOPNOTSUPP) {
		print_message("skipped: no O_DIRECT here\n");
		skip();
	}
	assert_int_equal(error, 0);
}

static void note_write(struct lazymem_write *write, int error)
{
	struct outcome *outcome = write->context;

	outcome->count++;
	outcome->error = error;
}

static int wait_for(struct lm_queue *queue, const struct outcome *outcome)
{
	while (outcome->count == 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	assert_int_equal(lm_queue_run(queue, 0), 0);
	assert_int_equal(outcome->count, 1);
	return outcome->error;
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
	return wait_for(queue, &outcome);
}

static int flush_on_queue(struct lm_queue *queue)
{
	struct outcome outcome = {0};
	struct lazymem_write flush = {.complete = note_write, .context = &outcome, .queue = queue};

	lazymem_backing_submit_flush(backing, &flush);
	return wait_for(queue, &outcome);
}

/* The file holds sample bytes, but for these: bytes of `fill`, and is as long as it was. */
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

/* ---- opening ------------------------------------------------------------- */

static void a_file_is_read_only_unless_it_is_asked_for(void **state)
{
	(void)state;
	open_file(0);
	assert_false(lazymem_backing_is_writable(backing));
	assert_int_equal(lazymem_backing_write(backing, 0, "x", 1), -EROFS);
	assert_non_null(strstr(lazymem_error_message(), path));
	assert_file(0, 0, 0);
	lazymem_backing_unref(backing);
	open_file(LAZYMEM_FILE_WRITABLE);
	assert_true(lazymem_backing_is_writable(backing));
}

static void a_file_that_may_not_be_written_is_refused_when_it_is_opened(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_WRITABLE};
	const int reader = open(path, O_RDONLY | O_CLOEXEC);
	const int sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)state;
	assert_int_equal(lazymem_file_from_fd(reader, "x", &options, &backing), -EBADF);
	assert_non_null(strstr(lazymem_error_message(), "not open for writing"));
	close(reader);
	assert_int_equal(ftruncate(sealed, PAGE), 0);
	assert_int_equal(fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(lazymem_file_from_fd(sealed, "x", &options, &backing), -EPERM);
	assert_non_null(strstr(lazymem_error_message(), "x is sealed"));
	close(sealed);
	assert_null(backing);
}

static void a_descriptor_that_appends_is_written_where_it_is_asked_to(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_WRITABLE};
	const int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

	(void)state;
	assert_int_equal(lazymem_file_from_fd(fd, "x", &options, &backing), 0);
	close(fd);
	memset(buffer, 0xcc, PAGE);
	assert_int_equal(lazymem_backing_write(backing, 100, buffer, PAGE), 0);
	assert_file(100, PAGE, 0xcc);
}

/* ---- writes -------------------------------------------------------------- */

static void a_write_is_read_back_and_in_the_file(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	memset(buffer, 0xcc, 3 * PAGE);
	assert_int_equal(lazymem_backing_write(backing, 5000, buffer, PAGE), 0);
	assert_int_equal(write_on_queue(queue, 5000 + PAGE, buffer, 2 * PAGE), 0);
	assert_int_equal(writes, 2);
	assert_int_equal(queued_writes, 0); /* the page cache is written on this thread */
	assert_file(5000, 3 * PAGE, 0xcc);
	memset(buffer, 0, 3 * PAGE);
	assert_int_equal(lazymem_backing_read(backing, 5000, buffer, 3 * PAGE), 0);
	for (size_t i = 0; i < 3 * PAGE; i++)
		assert_int_equal(buffer[i], 0xcc);
	lm_queue_destroy(queue);
}

static void a_write_goes_into_the_window(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_WRITABLE,
						     .start = 1000,
						     .length = 5000};

	(void)state;
	assert_int_equal(lazymem_file_open(path, &options, &backing), 0);
	memset(buffer, 0xcc, 5000);
	assert_int_equal(lazymem_backing_write(backing, 4990, buffer, 11), -ERANGE);
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, 5000), 0);
	assert_file(1000, 5000, 0xcc);
}

static void short_writes_and_interruptions_are_continued(void **state)
{
	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	memset(buffer, 0xcc, 3 * PAGE);
	fail_next(EINTR, 3);
	most = 1000;
	assert_int_equal(lazymem_backing_write(backing, 17, buffer, 3 * PAGE), 0);
	assert_int_equal(writes, 3 + 13);
	assert_file(17, 3 * PAGE, 0xcc);
}

static void short_writes_and_interruptions_are_continued_on_the_queue(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_for_queue();
	memset(buffer, 0xcc, 3 * PAGE);
	fail_next(EINTR, 3);
	most = PAGE;
	assert_int_equal(write_on_queue(queue, PAGE, buffer, 3 * PAGE), 0);
	assert_int_equal(queued_writes, 3 + 3);
	assert_int_equal(writes, 0);
	assert_file(PAGE, 3 * PAGE, 0xcc);
	lm_queue_destroy(queue);
}

static void errors_of_a_write_are_passed_on(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EDQUOT, EFBIG, EINVAL};
	struct lm_queue *queue = make_queue();

	(void)state;
	open_for_queue();
	memset(buffer, 0xcc, PAGE);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fail_next(errors[i], 1);
		assert_int_equal(lazymem_backing_write(backing, 0, buffer, PAGE), -errors[i]);
		assert_non_null(strstr(lazymem_error_message(), path));
		fail_next(errors[i], 1);
		assert_int_equal(write_on_queue(queue, 0, buffer, PAGE), -errors[i]);
	}
	lm_queue_destroy(queue);
}

static void a_disk_that_fills_up_in_the_middle_fails_the_write(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_for_queue();
	memset(buffer, 0xcc, 2 * PAGE);
	most = PAGE;
	fail_next(0, 0);
	assert_int_equal(write_on_queue(queue, 0, buffer, PAGE), 0);
	most = 0; /* from here on nothing is taken, and nothing said */
	assert_int_equal(lazymem_backing_write(backing, PAGE, buffer, PAGE), -EIO);
	most = PAGE;
	fail_next(0, 1);
	assert_int_equal(write_on_queue(queue, PAGE, buffer, PAGE), -EIO);
	lm_queue_destroy(queue);
}

static void what_the_queue_cannot_finish_is_written_on_this_thread(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_for_queue();
	memset(buffer, 0xcc, 2 * PAGE);
	fail_next(EAGAIN, 1);
	assert_int_equal(write_on_queue(queue, 0, buffer, 2 * PAGE), 0);
	assert_int_equal(writes, 1);
	assert_file(0, 2 * PAGE, 0xcc);
	lm_queue_destroy(queue);
}

static void storage_begins_with_long_writes_before_the_flush(void **state)
{
	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	memset(buffer, 0xcc, 64 * PAGE);
	for (unsigned i = 0; i < 15; i++) /* 256 KiB each */
		assert_int_equal(lazymem_backing_write(backing, 0, buffer, 64 * PAGE), 0);
	assert_int_equal(beginnings, 0);
	for (unsigned i = 0; i < 64; i++) /* scattered ones do not count */
		assert_int_equal(lazymem_backing_write(backing, i * PAGE, buffer, PAGE), 0);
	assert_int_equal(beginnings, 0);
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, 64 * PAGE), 0);
	assert_int_equal(beginnings, 1);
	assert_int_equal(lazymem_backing_write(backing, 0, buffer, 64 * PAGE), 0);
	assert_int_equal(beginnings, 1);
}

/* ---- flush --------------------------------------------------------------- */

static void a_flush_is_one_fdatasync(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	assert_int_equal(lazymem_backing_flush(backing), 0);
	assert_int_equal(syncs, 1);
	fail_next(EINTR, 2);
	assert_int_equal(lazymem_backing_flush(backing), 0);
	assert_int_equal(syncs, 4);
	assert_int_equal(flush_on_queue(queue), 0);
	assert_int_equal(syncs, 4);
	lm_queue_destroy(queue);
}

static void errors_of_a_flush_are_passed_on_and_counted(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	fail_next(EIO, 1);
	assert_int_equal(lazymem_backing_flush(backing), -EIO);
	assert_non_null(strstr(lazymem_error_message(), path));
	fail_next(ENOSPC, 1);
	assert_int_equal(flush_on_queue(queue), -ENOSPC);
	assert_int_equal(lazymem_backing_failed_flushes(backing), 2);
	lm_queue_destroy(queue);
}

static void a_flush_that_the_queue_cannot_finish_is_finished_on_this_thread(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	fail_next(EINTR, 1);
	assert_int_equal(flush_on_queue(queue), 0);
	assert_int_equal(syncs, 1);
	lm_queue_destroy(queue);
}

/* ---- discard and extents ------------------------------------------------- */

static void assert_extent(uint64_t offset, uint64_t length, enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_extent(backing, offset, length, &extent), 0);
	assert_int_equal(extent.kind, kind);
	assert_int_equal(extent.length, length);
}

static void discard_or_skip(uint64_t offset, uint64_t length)
{
	const int error = lazymem_backing_discard(backing, offset, length);

	if (error == -EOPNOTSUPP)
		skip(); /* a file system without holes */
	assert_int_equal(error, 0);
}

static void what_is_discarded_is_zero_and_a_hole(void **state)
{
	struct stat before, after;

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	assert_int_equal(lazymem_backing_flush(backing), 0);
	assert_int_equal(stat(path, &before), 0);
	assert_extent(8 * PAGE, 16 * PAGE, LAZYMEM_EXTENT_DATA);
	discard_or_skip(8 * PAGE, 16 * PAGE);
	assert_file(8 * PAGE, 16 * PAGE, 0);
	assert_extent(8 * PAGE, 16 * PAGE, LAZYMEM_EXTENT_ZERO);
	assert_extent(7 * PAGE, PAGE, LAZYMEM_EXTENT_DATA);
	assert_extent(24 * PAGE, PAGE, LAZYMEM_EXTENT_DATA);
	assert_int_equal(stat(path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
}

static void the_ends_of_a_discard_are_zero_to_the_byte(void **state)
{
	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	discard_or_skip(100, 2 * PAGE);
	assert_file(100, 2 * PAGE, 0);
	assert_extent(0, PAGE, LAZYMEM_EXTENT_DATA);
	assert_extent(PAGE, PAGE, LAZYMEM_EXTENT_ZERO);
	assert_extent(2 * PAGE, PAGE, LAZYMEM_EXTENT_DATA);
}

static void what_is_written_into_a_hole_is_data(void **state)
{
	struct lm_queue *queue = make_queue();

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	discard_or_skip(0, 32 * PAGE);
	memset(buffer, 0xcc, PAGE);
	assert_int_equal(lazymem_backing_write(backing, 3 * PAGE + 10, buffer, 1), 0);
	assert_int_equal(write_on_queue(queue, 5 * PAGE, buffer, PAGE), 0);
	assert_extent(0, 3 * PAGE, LAZYMEM_EXTENT_ZERO);
	assert_extent(3 * PAGE, PAGE, LAZYMEM_EXTENT_DATA);
	assert_extent(4 * PAGE, PAGE, LAZYMEM_EXTENT_ZERO);
	assert_extent(5 * PAGE, PAGE, LAZYMEM_EXTENT_DATA);
	assert_extent(6 * PAGE, 26 * PAGE, LAZYMEM_EXTENT_ZERO);
	lm_queue_destroy(queue);
}

static void a_write_that_failed_is_not_called_zero(void **state)
{
	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	discard_or_skip(0, 4 * PAGE);
	memset(buffer, 0xcc, 2 * PAGE);
	fail_next(ENOSPC, 1);
	assert_int_equal(lazymem_backing_write(backing, PAGE, buffer, 2 * PAGE), -ENOSPC);
	assert_extent(PAGE, 2 * PAGE, LAZYMEM_EXTENT_DATA);
}

static void errors_of_a_discard_are_passed_on_and_nothing_is_called_zero(void **state)
{
	static const struct {
		int error, result;
	} rows[] = {
		{EOPNOTSUPP, -EOPNOTSUPP}, {ENOSYS, -EOPNOTSUPP}, {EIO, -EIO}, {ENOSPC, -ENOSPC}};

	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fail_next(rows[i].error, 1);
		assert_int_equal(lazymem_backing_discard(backing, 0, PAGE), rows[i].result);
		assert_non_null(strstr(lazymem_error_message(), path));
		assert_extent(0, PAGE, LAZYMEM_EXTENT_DATA);
	}
	assert_file(0, 0, 0);
	fail_next(EINTR, 2);
	discard_or_skip(0, PAGE);
	assert_file(0, PAGE, 0);
}

static void a_file_opened_without_holes_has_none_after_a_discard(void **state)
{
	(void)state;
	open_file(LAZYMEM_FILE_WRITABLE | LAZYMEM_FILE_NO_HOLES);
	discard_or_skip(0, PAGE);
	assert_file(0, PAGE, 0);
	assert_extent(0, PAGE, LAZYMEM_EXTENT_DATA);
}

/* ---- identity ------------------------------------------------------------ */

static struct lazymem_identity identity_of(struct lazymem_backing *object)
{
	struct lazymem_identity identity = {{0}};

	assert_int_equal(lazymem_backing_identity(object, &identity), 0);
	return identity;
}

static void what_is_written_changes_the_identity_for_whoever_opens_it_next(void **state)
{
	const struct timespec long_ago[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000}};
	struct lazymem_identity before, after, reopened;

	(void)state;
	assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	open_file(LAZYMEM_FILE_WRITABLE);
	before = identity_of(backing);
	assert_int_equal(lazymem_backing_write(backing, 0, "x", 1), 0);
	after = identity_of(backing);
	assert_memory_not_equal(&after, &before, sizeof(after));
	lazymem_backing_unref(backing);
	open_file(0);
	reopened = identity_of(backing);
	assert_memory_equal(&reopened, &after, sizeof(after));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_read_only_unless_it_is_asked_for),
		TEST(a_file_that_may_not_be_written_is_refused_when_it_is_opened),
		TEST(a_descriptor_that_appends_is_written_where_it_is_asked_to),
		TEST(a_write_is_read_back_and_in_the_file),
		TEST(a_write_goes_into_the_window),
		TEST(short_writes_and_interruptions_are_continued),
		TEST(short_writes_and_interruptions_are_continued_on_the_queue),
		TEST(errors_of_a_write_are_passed_on),
		TEST(a_disk_that_fills_up_in_the_middle_fails_the_write),
		TEST(what_the_queue_cannot_finish_is_written_on_this_thread),
		TEST(storage_begins_with_long_writes_before_the_flush),
		TEST(a_flush_is_one_fdatasync),
		TEST(errors_of_a_flush_are_passed_on_and_counted),
		TEST(a_flush_that_the_queue_cannot_finish_is_finished_on_this_thread),
		TEST(what_is_discarded_is_zero_and_a_hole),
		TEST(the_ends_of_a_discard_are_zero_to_the_byte),
		TEST(what_is_written_into_a_hole_is_data),
		TEST(a_write_that_failed_is_not_called_zero),
		TEST(errors_of_a_discard_are_passed_on_and_nothing_is_called_zero),
		TEST(a_file_opened_without_holes_has_none_after_a_discard),
		TEST(what_is_written_changes_the_identity_for_whoever_opens_it_next),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
