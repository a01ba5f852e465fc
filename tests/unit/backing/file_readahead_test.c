/* wrap: posix_fadvise ioctl fstat */
/* SPDX-License-Identifier: MIT
 *
 * file_readahead_test.c - what a file makes of advice, and a block device, which
 * is played by a file.
 */
#include "file_fixture.h"

#include <linux/fs.h>
#include <sys/ioctl.h>

#define LIMIT (8 << 20)

int __wrap_posix_fadvise(int fd, off_t offset, off_t length, int advice);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static unsigned advices;
static unsigned refusals; /* of the kernel's own readahead */
static off_t advised_from, advised_to, longest;
static bool is_device;

int __wrap_posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
	struct stat advised, expected;

	if (advice == POSIX_FADV_RANDOM) {
		assert_int_equal(offset, 0);
		assert_int_equal(length, 0);
		refusals++;
		return 0;
	}
	assert_int_equal(advice, POSIX_FADV_WILLNEED);
	assert_int_equal(__real_fstat(fd, &advised), 0);
	assert_int_equal(stat(path, &expected), 0);
	assert_int_equal(advised.st_ino, expected.st_ino);
	if (advices++ == 0)
		advised_from = offset;
	else
		assert_int_equal(offset, advised_to);
	advised_to = offset + length;
	if (length > longest)
		longest = length;
	return 0;
}

int __wrap_fstat(int fd, struct stat *status)
{
	const int result = __real_fstat(fd, status);

	if (is_device)
		status->st_mode = (status->st_mode & ~(mode_t)S_IFMT) | S_IFBLK;
	return result;
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	if (!is_device || request != BLKGETSIZE64)
		return __real_ioctl(fd, request, argument);
	*(uint64_t *)argument = LENGTH;
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	advices = refusals = 0;
	advised_from = advised_to = longest = 0;
	is_device = false;
	return make_file();
}

static void the_kernel_is_told_not_to_read_ahead_by_itself(void **state)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(lazymem_file_open(path, NULL, &backing), 0);
	assert_int_equal(refusals, 1);
	lazymem_backing_unref(backing);
	assert_int_equal(lazymem_file_from_fd(fd, "x", NULL, &backing), 0);
	assert_int_equal(refusals, 2);
	close(fd);
}

static void readahead_asks_the_kernel_for_the_bytes_of_the_window(void **state)
{
	const struct lazymem_file_options options = {.size = sizeof(options), .start = 2 * PAGE};

	(void)state;
	assert_int_equal(lazymem_file_open(path, &options, &backing), 0);
	lazymem_backing_readahead(backing, PAGE, 3 * PAGE);
	assert_int_equal(advices, 1);
	assert_int_equal(advised_from, 3 * PAGE);
	assert_int_equal(advised_to, 6 * PAGE);
}

static void readahead_comes_in_pieces_that_any_disk_reads_ahead(void **state)
{
	(void)state;
	open_file(0);
	lazymem_backing_readahead(backing, 0, LENGTH);
	assert_int_equal(advised_from, 0);
	assert_int_equal(advised_to, LENGTH);
	assert_int_equal(longest, 128 << 10);
}

static void readahead_is_bounded(void **state)
{
	(void)state;
	assert_int_equal(truncate(path, 3 * (off_t)LIMIT), 0);
	open_file(0);
	lazymem_backing_readahead(backing, PAGE, 2 * LIMIT);
	assert_int_equal(advised_from, PAGE);
	assert_int_equal(advised_to, PAGE + LIMIT);
}

static void readahead_of_direct_reads_is_pointless(void **state)
{
	(void)state;
	open_file_direct();
	lazymem_backing_readahead(backing, 0, LENGTH);
	assert_int_equal(advices, 0);
}

static void a_block_device_has_no_identity(void **state)
{
	struct lazymem_identity identity;

	(void)state;
	is_device = true;
	open_file(0);
	assert_int_equal(lazymem_backing_identity(backing, &identity), -ENODATA);
	assert_non_null(strstr(lazymem_error_message(), path));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_kernel_is_told_not_to_read_ahead_by_itself),
		TEST(readahead_asks_the_kernel_for_the_bytes_of_the_window),
		TEST(readahead_comes_in_pieces_that_any_disk_reads_ahead),
		TEST(readahead_is_bounded),
		TEST(readahead_of_direct_reads_is_pointless),
		TEST(a_block_device_has_no_identity),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
