/* wrap: pwrite fsync renameat openat */
/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <dirent.h>
#include <fcntl.h>
#include <lazymem/trace.h>
#include <sys/stat.h>

/* Which call fails next, with what; a write is cut to `write_limit` bytes. */
static int write_error, rename_error, openat_error;
static int fsync_error, fsyncs_to_pass;
static size_t write_limit = SIZE_MAX;
static int fsyncs;

ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to);
int __real_openat(int directory, const char *name, int flags, mode_t mode);
int __wrap_openat(int directory, const char *name, int flags, mode_t mode);

static bool is_refused(int *error)
{
	if (*error == 0)
		return false;
	errno = *error;
	*error = 0;
	return true;
}

ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
	if (is_refused(&write_error))
		return -1;
	return __real_pwrite(fd, bytes, size < write_limit ? size : write_limit, offset);
}

int __wrap_fsync(int fd)
{
	if (fsyncs++ >= fsyncs_to_pass && is_refused(&fsync_error))
		return -1;
	return __real_fsync(fd);
}

int __wrap_renameat(int from_directory, const char *from, int to_directory, const char *to)
{
	if (is_refused(&rename_error))
		return -1;
	return __real_renameat(from_directory, from, to_directory, to);
}

int __wrap_openat(int directory, const char *name, int flags, mode_t mode)
{
	return is_refused(&openat_error) ? -1 : __real_openat(directory, name, flags, mode);
}

/* Every test has a directory of its own, and a path in it. */
static char directory[64], path[128];

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/trace_file_test.XXXXXX");
	write_error = rename_error = openat_error = fsync_error = fsyncs_to_pass = fsyncs = 0;
	write_limit = SIZE_MAX;
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/run.trace", directory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

/* A trace of one range at `start`. */
static struct lazymem_trace *make_trace(uint64_t start)
{
	struct lazymem_trace *trace = NULL;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	assert_int_equal(
		lazymem_trace_append(trace, (struct lazymem_guest_range){AT(start), 0x1000}), 0);
	return trace;
}

static int save(uint64_t start)
{
	struct lazymem_trace *trace = make_trace(start);
	const int error = lazymem_trace_save(trace, path);

	lazymem_trace_destroy(trace);
	return error;
}

/* Where the first range of the trace in the file begins. */
static uint64_t saved_start(void)
{
	struct lazymem_trace *trace = NULL;
	uint64_t start;

	assert_int_equal(lazymem_trace_load(path, &trace), 0);
	start = lazymem_trace_range(trace, 0).start.value;
	lazymem_trace_destroy(trace);
	return start;
}

static size_t files_in_directory(void)
{
	DIR *stream = opendir(directory);
	size_t count = 0;

	assert_non_null(stream);
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count - 2; /* "." and ".." */
}

static int refuse_load(void)
{
	struct lazymem_trace *trace = NULL;
	const int error = lazymem_trace_load(path, &trace);

	assert_null(trace);
	return error;
}

static void put_file(const void *bytes, size_t size)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

/* ---- save ---------------------------------------------------------------- */

static void saved_trace_is_loaded(void **state)
{
	(void)state;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(saved_start(), 0x7000);
	assert_int_equal(files_in_directory(), 1);
}

static void save_replaces_the_file_that_is_there(void **state)
{
	(void)state;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(save(0x9000), 0);
	assert_int_equal(saved_start(), 0x9000);
	assert_int_equal(files_in_directory(), 1);
}

static void save_makes_the_file_and_its_directory_durable(void **state)
{
	(void)state;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(fsyncs, 2);
}

static void saved_file_has_the_permissions_of_any_new_file(void **state)
{
	const mode_t before = umask(027);
	struct stat status;

	(void)state;
	assert_int_equal(save(0x7000), 0);
	umask(before);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
}

static void short_and_interrupted_writes_are_continued(void **state)
{
	(void)state;
	write_limit = 7;
	write_error = EINTR;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(saved_start(), 0x7000);
}

static void failed_save_leaves_the_old_file_and_nothing_else(void **state)
{
	static const struct {
		int *error;
		const char *says;
	} rows[] = {
		{&write_error, "writing"},
		{&fsync_error, "fsync"},
		{&rename_error, "renaming"},
		{&openat_error, "temporary"},
	};

	(void)state;
	assert_int_equal(save(0x7000), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		*rows[i].error = ENOSPC;
		assert_int_equal(save(0x9000), -ENOSPC);
		assert_says(path);
		assert_says(rows[i].says);
		assert_int_equal(saved_start(), 0x7000);
		assert_int_equal(files_in_directory(), 1);
	}
}

static void directory_that_cannot_be_made_durable_is_reported(void **state)
{
	(void)state;
	fsyncs_to_pass = 1;
	fsync_error = EIO;
	assert_int_equal(save(0x7000), -EIO);
	assert_says("fsync of its directory");
	fsyncs = 0;
	fsync_error = EINVAL;
	assert_int_equal(save(0x7000), 0);
}

static void temporary_name_that_is_taken_is_passed_over(void **state)
{
	(void)state;
	openat_error = EEXIST;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(files_in_directory(), 1);
}

static void path_without_a_file_or_a_directory_is_refused(void **state)
{
	struct lazymem_trace *trace = make_trace(0x1000);
	char beside[256];

	(void)state;
	snprintf(beside, sizeof(beside), "%s/", directory);
	assert_int_equal(lazymem_trace_save(trace, beside), -EISDIR);
	assert_int_equal(lazymem_trace_save(trace, ""), -EISDIR);
	snprintf(beside, sizeof(beside), "%s/missing/run.trace", directory);
	assert_int_equal(lazymem_trace_save(trace, beside), -ENOENT);
	assert_says("missing/run.trace");
	assert_int_equal(lazymem_trace_save(trace, directory), -EISDIR);
	lazymem_trace_destroy(trace);
	assert_int_equal(files_in_directory(), 0);
}

static void name_in_the_working_directory_needs_no_slash(void **state)
{
	struct lazymem_trace *trace = make_trace(0x7000);
	const int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(lazymem_trace_save(trace, "run.trace"), 0);
	assert_int_equal(fchdir(before), 0);
	close(before);
	lazymem_trace_destroy(trace);
	assert_int_equal(saved_start(), 0x7000);
}

/* ---- load ---------------------------------------------------------------- */

static void missing_file_is_named(void **state)
{
	(void)state;
	assert_int_equal(refuse_load(), -ENOENT);
	assert_says(path);
}

static void directory_and_pipe_are_refused(void **state)
{
	struct lazymem_trace *trace = NULL;

	(void)state;
	assert_int_equal(lazymem_trace_load(directory, &trace), -EISDIR);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(refuse_load(), -EBADMSG);
	assert_says("no regular file");
	assert_null(trace);
}

static void file_that_is_no_trace_is_refused(void **state)
{
	char text[200];

	(void)state;
	memset(text, 'x', sizeof(text));
	put_file(text, 0);
	assert_int_equal(refuse_load(), -EBADMSG);
	put_file(text, 63);
	assert_int_equal(refuse_load(), -EBADMSG);
	assert_says("63 of 64 bytes");
	put_file(text, sizeof(text));
	assert_int_equal(refuse_load(), -EBADMSG);
	assert_says("LZMTRACE");
	assert_says(path);
}

static void file_of_another_size_than_its_header_says_is_refused(void **state)
{
	(void)state;
	assert_int_equal(save(0x7000), 0);
	assert_int_equal(truncate(path, 83), 0);
	assert_int_equal(refuse_load(), -EBADMSG);
	assert_says("84 bytes, it has 83");
	assert_int_equal(truncate(path, 85), 0);
	assert_int_equal(refuse_load(), -EBADMSG);
}

static void damaged_file_is_refused(void **state)
{
	const unsigned char wrong = 0xee;
	int fd;

	(void)state;
	assert_int_equal(save(0x7000), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &wrong, 1, 66), 1);
	close(fd);
	assert_int_equal(refuse_load(), -EBADMSG);
	assert_says("checksum");
	assert_says(path);
}

static void unknown_version_is_told_from_damage(void **state)
{
	const unsigned char version = 9;
	int fd;

	(void)state;
	assert_int_equal(save(0x7000), 0);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &version, 1, 8), 1);
	close(fd);
	assert_int_equal(refuse_load(), -EPROTONOSUPPORT);
	assert_says("version 9");
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(saved_trace_is_loaded),
		in_directory(save_replaces_the_file_that_is_there),
		in_directory(save_makes_the_file_and_its_directory_durable),
		in_directory(saved_file_has_the_permissions_of_any_new_file),
		in_directory(short_and_interrupted_writes_are_continued),
		in_directory(failed_save_leaves_the_old_file_and_nothing_else),
		in_directory(directory_that_cannot_be_made_durable_is_reported),
		in_directory(temporary_name_that_is_taken_is_passed_over),
		in_directory(path_without_a_file_or_a_directory_is_refused),
		in_directory(name_in_the_working_directory_needs_no_slash),
		in_directory(missing_file_is_named),
		in_directory(directory_and_pipe_are_refused),
		in_directory(file_that_is_no_trace_is_refused),
		in_directory(file_of_another_size_than_its_header_says_is_refused),
		in_directory(damaged_file_is_refused),
		in_directory(unknown_version_is_told_from_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
