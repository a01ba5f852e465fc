/* wrap: fstatfs fstat */
/* SPDX-License-Identifier: MIT
 *
 * file_holes_test.c - file systems whose holes are larger than pages, and that
 * no diff is taken from them.
 */
#include "file_fixture.h"

#include "backing/file_object.h"

#include <errno.h>
#include <lazymem/bytes.h>
#include <lazymem/layered.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

int __real_fstatfs(int fd, struct statfs *system);
int __wrap_fstatfs(int fd, struct statfs *system);
int __real_fstat(int fd, struct stat *status);
int __wrap_fstat(int fd, struct stat *status);

static long played_type;       /* of the file system; 0: what it is */
static blksize_t played_block; /* of the file; 0: what it is */
static struct lazymem_backing *base;

int __wrap_fstatfs(int fd, struct statfs *system)
{
	const int result = __real_fstatfs(fd, system);

	if (played_type != 0)
		system->f_type = played_type;
	return result;
}

int __wrap_fstat(int fd, struct stat *status)
{
	const int result = __real_fstat(fd, status);

	if (played_block != 0)
		status->st_blksize = played_block;
	return result;
}

static int set_up(void **state)
{
	static unsigned char zeros[LENGTH];

	(void)state;
	played_type = 0;
	played_block = 0;
	if (make_file() != 0)
		return -1;
	open_file(0);
	return lazymem_bytes_create(zeros, LENGTH, NULL, NULL, &base);
}

static int tear_down_both(void **state)
{
	lazymem_backing_unref(base);
	return tear_down(state);
}

static void play(long type, blksize_t block)
{
	played_type = type;
	played_block = block;
}

static void most_file_systems_have_holes_of_pages(void **state)
{
	(void)state;
	play(EXT4_SUPER_MAGIC, 4096);
	assert_false(lm_file_has_coarse_holes(backing));
	play(TMPFS_MAGIC, 4096);
	assert_false(lm_file_has_coarse_holes(backing));
	play(NFS_SUPER_MAGIC, 1 << 20); /* how much to transfer at once */
	assert_false(lm_file_has_coarse_holes(backing));
}

static void some_have_not(void **state)
{
	(void)state;
	play(TMPFS_MAGIC, 2 << 20);
	assert_true(lm_file_has_coarse_holes(backing));
	play(0x2fc12fc1, 128 << 10);
	assert_true(lm_file_has_coarse_holes(backing));
}

static void what_is_no_file_has_holes_anywhere(void **state)
{
	(void)state;
	play(0x2fc12fc1, 0);
	assert_false(lm_file_has_coarse_holes(base));
}

static void a_diff_with_coarse_holes_is_refused_by_name(void **state)
{
	struct lazymem_backing *layers[2] = {base, backing}, *layered = NULL;

	(void)state;
	play(TMPFS_MAGIC, 2 << 20);
	assert_int_equal(lazymem_layered_create(layers, 2, &layered), -EOPNOTSUPP);
	assert_non_null(strstr(lazymem_error_message(), path));
	assert_null(layered);
}

static void a_base_with_coarse_holes_is_taken(void **state)
{
	struct lazymem_backing *layers[2] = {backing, base}, *layered;

	(void)state;
	play(TMPFS_MAGIC, 2 << 20);
	assert_int_equal(lazymem_layered_create(layers, 2, &layered), 0);
	lazymem_backing_unref(layered);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_both)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(most_file_systems_have_holes_of_pages),
		TEST(some_have_not),
		TEST(what_is_no_file_has_holes_anywhere),
		TEST(a_diff_with_coarse_holes_is_refused_by_name),
		TEST(a_base_with_coarse_holes_is_taken),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
