/* SPDX-License-Identifier: MIT
 *
 * inject_record_test.c - an observer of reads.
 */
#include "inject_fixture.h"

static struct lazymem_inject_read seen[10];
static unsigned seen_count;
static bool completed_before_observed;

static void observe(void *context, const struct lazymem_inject_read *read)
{
	const unsigned *completions = context;

	if (completions != NULL && *completions != 0)
		completed_before_observed = true;
	assert_true(seen_count < 10);
	seen[seen_count++] = *read;
}

static void each_read_is_told_as_it_was(void **state)
{
	struct lazymem_backing *fail, *record;
	const uint64_t before = now_ns();

	(void)state;
	seen_count = 0;
	assert_int_equal(lazymem_inject_fail(inner, everything, -EIO, 1, &fail), 0);
	assert_int_equal(lazymem_inject_record(fail, observe, NULL, &record), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_read(record, 5, buffer, 6), -EIO);
	assert_reads(record, 1000, 4096);
	assert_int_equal(seen_count, 2);
	assert_int_equal(seen[0].offset, 5);
	assert_int_equal(seen[0].length, 6);
	assert_int_equal(seen[0].error, -EIO);
	assert_int_equal(seen[1].offset, 1000);
	assert_int_equal(seen[1].length, 4096);
	assert_int_equal(seen[1].error, 0);
	assert_true(seen[0].submitted_ns >= before);
	assert_true(seen[0].completed_ns >= seen[0].submitted_ns);
	assert_true(seen[1].submitted_ns >= seen[0].completed_ns);
	assert_true(seen[1].completed_ns <= now_ns());
	lazymem_backing_unref(record);
}

static void the_time_of_the_inner_read_is_in_it(void **state)
{
	struct lazymem_backing *delay, *record;

	(void)state;
	seen_count = 0;
	assert_int_equal(lazymem_inject_delay(inner, everything, 5000000, &delay), 0);
	assert_int_equal(lazymem_inject_record(delay, observe, NULL, &record), 0);
	lazymem_backing_unref(delay);
	assert_reads(record, 0, 1);
	assert_true(seen[0].completed_ns - seen[0].submitted_ns >= 5000000);
	lazymem_backing_unref(record);
}

static void count_completion(struct lazymem_read *read, int error)
{
	assert_int_equal(error, 0);
	(*(unsigned *)read->context)++;
}

static void the_observer_is_called_before_the_completion(void **state)
{
	struct lazymem_backing *record;
	unsigned completions = 0;
	struct lazymem_read read = {.length = 1,
				    .buffer = buffer,
				    .complete = count_completion,
				    .context = &completions};

	(void)state;
	seen_count = 0;
	completed_before_observed = false;
	assert_int_equal(lazymem_inject_record(inner, observe, &completions, &record), 0);
	lazymem_backing_submit(record, &read);
	assert_int_equal(completions, 1);
	assert_int_equal(seen_count, 1);
	assert_false(completed_before_observed);
	lazymem_backing_unref(record);
}

static void wrong_arguments_are_refused(void **state)
{
	struct lazymem_backing *record = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_record(inner, NULL, NULL, &record), -EINVAL);
	assert_int_equal(lazymem_inject_record(NULL, observe, NULL, &record), -EINVAL);
	assert_null(record);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_read_is_told_as_it_was),
		TEST(the_time_of_the_inner_read_is_in_it),
		TEST(the_observer_is_called_before_the_completion),
		TEST(wrong_arguments_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
