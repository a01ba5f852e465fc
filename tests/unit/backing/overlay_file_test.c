/* wrap: fsync linkat ftruncate pwrite flock */
/* SPDX-License-Identifier: MIT
 *
 * overlay_file_test.c - the file of an overlay is made whole or not at all, and taken
 * from nobody.
 */
#include "overlay_fixture.h"

#include <sys/file.h>

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_linkat(int from, const char *name, int to, const char *new_name, int flags);
int __wrap_linkat(int from, const char *name, int to, const char *new_name, int flags);
int __real_ftruncate(int fd, off_t length);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

static unsigned calls, failing_call; /* counted from 1; 0: none fails */
static bool somebody_is_first;
static const char *log_of_calls[32];

static bool fails(const char *name)
{
	if (calls < 32)
		log_of_calls[calls] = name;
	if (++calls != failing_call)
		return false;
	errno = ENOSPC;
	return true;
}

int __wrap_fsync(int fd)
{
	return fails("fsync") ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t length)
{
	return fails("ftruncate") ? -1 : __real_ftruncate(fd, length);
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	return fails("pwrite") ? -1 : __real_pwrite(fd, bytes, size, offset);
}

int __wrap_flock(int fd, int operation)
{
	return fails("flock") ? -1 : __real_flock(fd, operation);
}

/* Another one has made it and written to it, between our look and our link. */
static void make_it_first(void)
{
	somebody_is_first = false;
	open_overlay();
	put(3 * PAGE, PAGE);
	close_overlay();
}

int __wrap_linkat(int from, const char *name, int to, const char *new_name, int flags)
{
	if (somebody_is_first)
		make_it_first();
	return fails("linkat") ? -1 : __real_linkat(from, name, to, new_name, flags);
}

static int begin(void **state)
{
	const int error = set_up(state);

	calls = failing_call = 0;
	somebody_is_first = false;
	return error;
}

/* Hidden ones too. */
static size_t files_in_directory(void)
{
	DIR *stream = opendir(directory);
	size_t count = 0;

	assert_non_null(stream);
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count - 2;
}

static void it_is_durable_before_it_has_its_name(void **state)
{
	unsigned last_write = 0, link = 0;

	(void)state;
	open_overlay();
	for (unsigned i = 0; i < calls; i++) {
		if (strcmp(log_of_calls[i], "pwrite") == 0)
			last_write = i;
		if (strcmp(log_of_calls[i], "linkat") == 0)
			link = i;
	}
	assert_string_equal(log_of_calls[last_write + 1], "fsync");
	assert_int_equal(link, last_write + 2);
	assert_string_equal(log_of_calls[link + 1], "fsync");
	assert_int_equal(files_in_directory(), 2);
}

static void failure_to_make_it_leaves_nothing(void **state)
{
	unsigned all, link = 0;

	(void)state;
	open_overlay();
	all = calls;
	while (strcmp(log_of_calls[link], "linkat") != 0)
		link++;
	close_overlay();
	assert_int_equal(unlink(path), 0);
	for (unsigned call = 1; call <= all; call++) {
		calls = 0;
		failing_call = call;
		assert_int_equal(open_over(base, 0), -ENOSPC);
		assert_null(overlay);
		assert_says("/overlay");
		/* behind the link it is there, and whole */
		assert_int_equal(files_in_directory(), call <= link + 1 ? 1 : 2);
		failing_call = 0;
		open_overlay();
		assert_holds();
		close_overlay();
		assert_int_equal(unlink(path), 0);
	}
}

static void who_comes_second_opens_what_the_first_has_made(void **state)
{
	(void)state;
	somebody_is_first = true;
	open_overlay();
	assert_holds();
	assert_int_equal(files_in_directory(), 2);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(it_is_durable_before_it_has_its_name),
		CASE(failure_to_make_it_leaves_nothing),
		CASE(who_comes_second_opens_what_the_first_has_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
