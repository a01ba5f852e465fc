/* SPDX-License-Identifier: MIT
 *
 * image_errors_test.c - an image that is missing, empty, a directory, too
 * short or that shrinks under a running guest: a message that names it, a
 * documented errno, and nothing left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/image.h>
#include <support/process.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH (4 * MIB)

static void expect_open_refused(const char *path, const struct lazymem_file_options *options,
				int expected, const char *part)
{
	struct lazymem_backing *backing = NULL;
	struct residue before = residue_now();

	assert_refused(lazymem_file_open(path, options, &backing), expected, part);
	assert_null(backing);
	assert_nothing_left(before);
}

static const char *make_image(const char *name, uint64_t length)
{
	struct image image;

	image_create(&image, length, "d", 19);
	const char *path = image_write(&image, name);
	image_destroy(&image);
	return path;
}

static void test_a_missing_image_is_named(void **state)
{
	(void)state;
	expect_open_refused(scratch_path("no-such-image"), NULL, -ENOENT, "no-such-image");
}

static void test_an_empty_image_is_refused(void **state)
{
	(void)state;
	int fd = creat(scratch_path("empty-image"), 0600);
	assert_true(fd >= 0);
	close(fd);
	expect_open_refused(scratch_path("empty-image"), NULL, -ENODATA, "empty-image");
}

static void test_a_directory_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir(scratch_path("directory-image"), 0700), 0);
	expect_open_refused(scratch_path("directory-image"), NULL, -EISDIR, "directory-image");
}

static void test_a_fifo_is_refused_without_waiting_for_a_writer(void **state)
{
	(void)state;
	assert_int_equal(mkfifo(scratch_path("fifo-image"), 0600), 0);
	expect_open_refused(scratch_path("fifo-image"), NULL, -EINVAL, "fifo-image");
}

static void test_a_window_past_the_end_is_refused(void **state)
{
	struct lazymem_file_options options = {
		.size = sizeof(options), .start = PAGE, .length = LENGTH};

	(void)state;
	expect_open_refused(make_image("short-window", LENGTH), &options, -ERANGE, "short-window");
	options = (struct lazymem_file_options){.size = sizeof(options), .start = LENGTH + PAGE};
	expect_open_refused(scratch_path("short-window"), &options, -ERANGE, "short-window");
}

static void test_an_unreadable_image_is_named(void **state)
{
	int status;
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	const char *path = make_image("unreadable-image", LENGTH);
	assert_int_equal(chmod(path, 0), 0);
	/* The way to it is open to the child. */
	char directory[4096];
	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	assert_int_equal(chmod(directory, 0755), 0);
	child = fork();
	if (child == 0) {
		struct lazymem_backing *backing = NULL;

		if (setgid(65534) != 0 || setuid(65534) != 0)
			_exit(2);
		_exit(lazymem_file_open(path, NULL, &backing) == -EACCES && !backing &&
				      strstr(lazymem_error_message(), "unreadable-image")
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_region_larger_than_its_image_is_refused(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region = NULL;

	(void)state;
	assert_ok(lazymem_file_open(make_image("short-image", LENGTH), NULL, &backing));
	assert_ok(lazymem_mapping_create_anonymous(LENGTH + PAGE, NULL, &mapping));
	struct residue before = residue_now();
	assert_refused(lazymem_region_create(mapping, guest_address(0), backing, 0, &region),
		       -ERANGE, "short-image");
	assert_null(region);
	lazymem_mapping_unref(mapping);
	assert_ok(lazymem_mapping_create_anonymous(LENGTH, NULL, &mapping));
	assert_refused(lazymem_region_create(mapping, guest_address(0), backing, PAGE, &region),
		       -ERANGE, "short-image");
	assert_refused(lazymem_region_create(mapping, guest_address(0), backing,
					     UINT64_MAX - PAGE + 1, &region),
		       -ERANGE, "short-image");
	assert_nothing_left(before);
	lazymem_mapping_unref(mapping);
	lazymem_backing_unref(backing);
}

static void test_sizes_that_are_no_pages_are_refused(void **state)
{
	struct lazymem_mapping *mapping = NULL;
	struct residue before = residue_now();

	(void)state;
	assert_refused(lazymem_mapping_create_anonymous(0, NULL, &mapping), -EINVAL, "");
	assert_refused(lazymem_mapping_create_anonymous(1000, NULL, &mapping), -EINVAL, "1000");
	assert_refused(lazymem_mapping_create_memfd(PAGE + 1, NULL, &mapping), -EINVAL, "4097");
	assert_refused(lazymem_mapping_create_hugetlb(PAGE, BLOCK, NULL, &mapping), -EINVAL, "");
	assert_refused(lazymem_mapping_create_hugetlb(BLOCK, 12345, NULL, &mapping), -EINVAL, "");
	assert_null(mapping);
	assert_nothing_left(before);
}

/* ---- an image that shrinks ------------------------------------------------ */

static atomic_int told;
static atomic_bool named;

static enum lazymem_verdict note(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	atomic_store(&told, failure->error);
	atomic_store(&named, strstr(failure->backing, "shrinking-image") != NULL);
	return LAZYMEM_POISON;
}

static void test_an_image_that_shrinks_never_reads_as_zeros(void **state)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = note};
	struct lazymem_backing *backing;
	struct image image;
	struct guest guest;

	image_create(&image, LENGTH, "d", 20);
	const char *path = image_write(&image, "shrinking-image");
	assert_ok(lazymem_file_open(path, NULL, &backing));
	guest_map(&guest, kind_of(state), LENGTH, 0, backing);
	guest_attach(&guest, NULL, &options);
	assert_int_equal(truncate(path, LENGTH / 2 + PAGE / 2), 0);

	assert_int_equal(touch(guest.host + LENGTH - 1), SIGNALLED + SIGBUS);
	assert_int_equal(atomic_load(&told), -ENODATA);
	assert_true(atomic_load(&named));
	assert_int_equal(touch(guest.host + LENGTH / 2), SIGNALLED + SIGBUS); /* cut in two */
	assert_true(image_matches(&image, 0, guest.host, LENGTH / 2));
	assert_refused(lazymem_attachment_finish(guest.attachment), -EIO, "");

	guest_end(&guest);
	lazymem_backing_unref(backing);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_missing_image_is_named),
		TEST(test_an_empty_image_is_refused),
		TEST(test_a_directory_is_refused),
		TEST(test_a_fifo_is_refused_without_waiting_for_a_writer),
		TEST(test_a_window_past_the_end_is_refused),
		TEST(test_an_unreadable_image_is_named),
		TEST(test_a_region_larger_than_its_image_is_refused),
		TEST(test_sizes_that_are_no_pages_are_refused),
		TEST_EACH_KIND(test_an_image_that_shrinks_never_reads_as_zeros),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
