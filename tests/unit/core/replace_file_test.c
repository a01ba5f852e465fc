/* wrap: open openat pwrite fsync close renameat unlinkat */
/* SPDX-License-Identifier: MIT
 *
 * replace_file_test.c - the old file or the new one, whatever fails: with a
 * trace as the file.
 */
#include "core/replace_file.h"
#include "model.h"
#include "unit/crash.h"

#include <lazymem/trace.h>
#include <sys/stat.h>

static char directory[64], path[128];
static struct subject subject;

static struct lazymem_trace *make_trace(uint64_t start)
{
	struct lazymem_trace *trace = NULL;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(lazymem_trace_append(
					 trace, (struct lazymem_guest_range){AT(start + i * 0x2000),
									     0x1000}),
				 0);
	return trace;
}

static int save(const char *to, uint64_t start)
{
	struct lazymem_trace *trace = make_trace(start);
	const int error = lazymem_trace_save(trace, to);

	lazymem_trace_destroy(trace);
	return error;
}

static int save_new(const char *to)
{
	return save(to, 0x5000);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/replace_file_test.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/run.trace", directory);
	assert_int_equal(save(path, 0x1000), 0);
	subject = (struct subject){.directory = directory, .path = path, .replace = save_new};
	learn(&subject);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	put_old_file(&subject);
	unlink(path);
	forget(&subject);
	return rmdir(directory);
}

static void trace_survives_a_failure_of_every_call(void **state)
{
	(void)state;
	assert_survives_failures(&subject);
}

static void trace_survives_death_at_every_call(void **state)
{
	(void)state;
	assert_survives_death(&subject);
}

static void trace_is_durable_before_it_has_its_name(void **state)
{
	(void)state;
	assert_durable_before_named(&subject);
}

static void partial_and_interrupted_writes_of_a_trace_are_continued(void **state)
{
	(void)state;
	assert_continues_writes(&subject, 100);
}

/* A pwrite that takes nothing, and gives no reason, must not be tried for ever. */
static void writing_that_does_not_go_on_is_an_error(void **state)
{
	(void)state;
	crash.stuck = true;
	assert_int_equal(save(path, 0x9000), -EIO);
	crash.stuck = false;
	assert_says("writing");
	assert_says(path);
	assert_true(file_is(path, &subject.new_file));
	assert_int_equal(files_beside(&subject), 0);
}

static void nothing_to_write_is_no_mistake(void **state)
{
	struct lm_replacement replacement;

	(void)state;
	assert_int_equal(lm_replace_begin("trace", path, &replacement), 0);
	assert_int_equal(lm_replace_write(&replacement, NULL, 0, 0), 0);
	lm_replace_abandon(&replacement);
	assert_true(file_is(path, &subject.new_file));
	assert_int_equal(files_beside(&subject), 0);
}

static mode_t mode_after_save(mode_t before, mode_t mask)
{
	const mode_t old_mask = umask(mask);
	struct stat status;

	if (before != 0)
		assert_int_equal(chmod(path, before), 0);
	else
		assert_int_equal(unlink(path), 0);
	assert_int_equal(save(path, 0x9000), 0);
	umask(old_mask);
	assert_int_equal(stat(path, &status), 0);
	return status.st_mode & 07777;
}

/* A guest's memory that only its owner may read stays so. */
static void file_keeps_its_permissions(void **state)
{
	(void)state;
	assert_int_equal(mode_after_save(0600, 022), 0600);
	assert_int_equal(mode_after_save(0640, 077), 0640);
	assert_int_equal(mode_after_save(0664, 022), 0664);
	assert_int_equal(mode_after_save(0, 027), 0640);
}

static void file_keeps_its_owner(void **state)
{
	struct stat status;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(path, 1234, 4321), 0);
	assert_int_equal(mode_after_save(0600, 022), 0600);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_uid, 1234);
	assert_int_equal(status.st_gid, 4321);
}

static void what_is_no_regular_file_is_not_replaced(void **state)
{
	struct stat status;

	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(save(path, 0x9000), -EINVAL);
	assert_says(path);
	assert_says("no regular file");
	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISFIFO(status.st_mode));
	assert_int_equal(files_beside(&subject), 0);
}

static void directory_is_not_replaced(void **state)
{
	(void)state;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(save(path, 0x9000), -EISDIR);
	assert_says("a directory is there");
	assert_int_equal(files_beside(&subject), 0);
	assert_int_equal(rmdir(path), 0);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(trace_survives_a_failure_of_every_call),
		in_directory(trace_survives_death_at_every_call),
		in_directory(trace_is_durable_before_it_has_its_name),
		in_directory(partial_and_interrupted_writes_of_a_trace_are_continued),
		in_directory(writing_that_does_not_go_on_is_an_error),
		in_directory(nothing_to_write_is_no_mistake),
		in_directory(file_keeps_its_permissions),
		in_directory(file_keeps_its_owner),
		in_directory(what_is_no_regular_file_is_not_replaced),
		in_directory(directory_is_not_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
