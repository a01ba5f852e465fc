/* wrap: open openat pwrite fsync close renameat unlinkat */
/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_crash_test.c - the old snapshot or the new one, whatever
 * fails: a snapshot is written anew over itself, with blobs, a working set and
 * compression, while it is being read.
 */
#include "unit/crash.h"
#include "write_fixture.h"

static struct memory memory;
static char *path;
static struct lazymem_snapshot *source;
static struct subject subject;

/* With an identity, so that the new file is the same each time. */
static int write_anew(const char *to)
{
	static const struct lazymem_snapshot_blob_source blob = {"vcpu", "0123", 4};
	const struct lazymem_guest_range range = {{100 * PAGE}, 20 * PAGE};
	const struct lazymem_identity identity = identity_of(2);
	struct lazymem_snapshot_plan plan = plan_of(lazymem_snapshot_backing(source));
	struct lazymem_trace *trace = NULL;
	int error;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	assert_int_equal(lazymem_trace_append(trace, range), 0);
	plan.identity = &identity;
	plan.trace = trace;
	plan.blobs = &blob;
	plan.blob_count = 1;
	if (lazymem_snapshot_supports(LAZYMEM_CHUNK_LZ4))
		plan.compression = LAZYMEM_CHUNK_LZ4;
	error = lazymem_snapshot_write(to, &plan);
	lazymem_trace_destroy(trace);
	return error;
}

static int set_up(void **state)
{
	const struct lazymem_identity identity = identity_of(1);

	make_directory(state);
	path = path_of("snapshot");
	make_memory(&memory, "rrrdrzrhrd", 800 * PAGE); /* some megabytes to write */
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	plan.identity = &identity;
	write_snapshot(path, &plan);
	source = open_snapshot(path);
	subject = (struct subject){.directory = directory, .path = path, .replace = write_anew};
	learn(&subject);
	return 0;
}

static int tear_down(void **state)
{
	put_old_file(&subject);
	forget(&subject);
	lazymem_snapshot_unref(source);
	lazymem_backing_unref(memory.backing);
	free(path);
	return remove_directory(state);
}

static void snapshot_survives_a_failure_of_every_call(void **state)
{
	(void)state;
	assert_survives_failures(&subject);
}

static void snapshot_survives_death_at_every_call(void **state)
{
	(void)state;
	assert_survives_death(&subject);
}

static void snapshot_is_durable_before_it_has_its_name(void **state)
{
	(void)state;
	assert_durable_before_named(&subject);
}

static void partial_and_interrupted_writes_are_continued(void **state)
{
	(void)state;
	assert_continues_writes(&subject, 5000);
}

/* So that the comparisons above mean something. */
static void old_and_new_are_both_in_order(void **state)
{
	(void)state;
	put_old_file(&subject);
	assert_holds(path, &memory);
	replace_undisturbed(&subject);
	assert_holds(path, &memory);
}

/* A megabyte at a time, but for the last write and the header. */
static void writes_are_large(void **state)
{
	size_t writes = 0;

	(void)state;
	replace_undisturbed(&subject);
	for (size_t i = 0; i < crash.count; i++)
		writes += strcmp(crash.calls[i].name, "pwrite") == 0;
	assert_in_range(writes, 4, subject.new_file.length / (1 << 20) + 2);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(snapshot_survives_a_failure_of_every_call),
		in_directory(snapshot_survives_death_at_every_call),
		in_directory(snapshot_is_durable_before_it_has_its_name),
		in_directory(partial_and_interrupted_writes_are_continued),
		in_directory(old_and_new_are_both_in_order),
		in_directory(writes_are_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
