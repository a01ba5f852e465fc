/* wrap: syscall pread */
/* SPDX-License-Identifier: MIT
 *
 * page_cache_test.c - what is asked of the page cache, and a file that is read
 * with O_DIRECT where the cache has nothing.
 */
#include "file_fixture.h"

#include "backing/page_cache.h"

#include <errno.h>
#include <stdarg.h>

long __wrap_syscall(long number, ...);
long __real_syscall(long number, ...);
ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t length, off_t offset);

static bool old_kernel; /* no cachestat */
static bool was_direct; /* the last pread */

/* Only the call under test comes this way. */
long __wrap_syscall(long number, ...)
{
	long fd, range, counts, flags;
	va_list arguments;

	if (old_kernel) {
		errno = ENOSYS;
		return -1;
	}
	va_start(arguments, number);
	fd = va_arg(arguments, long);
	range = va_arg(arguments, long);
	counts = va_arg(arguments, long);
	flags = va_arg(arguments, long);
	va_end(arguments);
	return __real_syscall(number, fd, range, counts, flags);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t length, off_t offset)
{
	was_direct = (fcntl(fd, F_GETFL) & O_DIRECT) != 0;
	return __real_pread(fd, bytes, length, offset);
}

static int set_up(void **state)
{
	(void)state;
	old_kernel = false;
	return make_file();
}

/* Pages [0, 64) and the rest are dropped from the cache, then [first, first +
 * count) read into it. */
static void leave_cached(size_t first, size_t count)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fsync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
	if (count > 0)
		assert_int_equal(__real_pread(fd, buffer, count * PAGE, (off_t)first * PAGE),
				 count * PAGE);
	close(fd);
}

static int cached(uint64_t offset, size_t length)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	const int answer = lm_page_cache_has(fd, offset, length);

	close(fd);
	if (answer == -ENOSYS && !old_kernel)
		skip(); /* Linux before 6.5 */
	return answer;
}

static void a_range_is_cached_when_all_of_its_pages_are(void **state)
{
	(void)state;
	leave_cached(8, 4);
	assert_int_equal(cached(8 * PAGE, 4 * PAGE), 1);
	assert_int_equal(cached(8 * PAGE + 1, PAGE), 1);
	assert_int_equal(cached(11 * PAGE, PAGE), 1);
	assert_int_equal(cached(7 * PAGE, 5 * PAGE), 0);
	assert_int_equal(cached(8 * PAGE, 4 * PAGE + 1), 0);
	assert_int_equal(cached(0, PAGE), 0);
}

static void a_kernel_that_cannot_tell_says_so(void **state)
{
	(void)state;
	old_kernel = true;
	assert_int_equal(cached(0, PAGE), -ENOSYS);
}

static void what_is_cached_is_taken_from_there_and_the_rest_directly(void **state)
{
	(void)state;
	leave_cached(8, 4);
	(void)cached(0, 1);
	open_file(LAZYMEM_FILE_CACHED_OR_DIRECT);
	assert_reads(9 * PAGE, 2 * PAGE);
	assert_false(was_direct);
	assert_reads(20 * PAGE, 2 * PAGE);
	assert_true(was_direct);
	assert_int_equal(cached(20 * PAGE, PAGE), 0);
	assert_reads(6 * PAGE, 4 * PAGE); /* half of it */
	assert_true(was_direct);
	assert_reads(0, LENGTH);
}

static void where_the_kernel_cannot_tell_all_goes_through_the_cache(void **state)
{
	(void)state;
	leave_cached(0, 0);
	old_kernel = true;
	open_file(LAZYMEM_FILE_CACHED_OR_DIRECT);
	assert_reads(20 * PAGE, 2 * PAGE);
	assert_false(was_direct);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_range_is_cached_when_all_of_its_pages_are),
		TEST(a_kernel_that_cannot_tell_says_so),
		TEST(what_is_cached_is_taken_from_there_and_the_rest_directly),
		TEST(where_the_kernel_cannot_tell_all_goes_through_the_cache),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
