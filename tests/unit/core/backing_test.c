/* SPDX-License-Identifier: MIT
 *
 * backing_test.c - the dispatch in front of backing objects, over an object of
 * 10,000 bytes that notes what reaches it.
 */
#include <lazymem/backing.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LENGTH UINT64_C(10000)

struct fake {
	struct lazymem_backing *backing;
	unsigned reads;
	uint64_t offset; /* of the read seen last */
	size_t length;
	int error;        /* that reads end with */
	bool from_thread; /* complete from another thread */
	bool keep;        /* do not complete */
	struct lazymem_read *kept;
	unsigned closed;
	struct lazymem_extent extent; /* the answer to give */
	int extent_error;
	uint64_t extent_asked;
};

static void finish(const struct fake *fake, struct lazymem_read *read)
{
	if (fake->error == 0)
		memset(read->buffer, 'd', read->length);
	lazymem_read_complete(read, fake->error);
}

static void *finish_later(void *argument)
{
	struct fake *fake = argument;
	const struct timespec pause = {.tv_nsec = 2000000};

	nanosleep(&pause, NULL);
	finish(fake, fake->kept);
	return NULL;
}

static void fake_read(void *object, struct lazymem_read *read)
{
	struct fake *fake = object;
	pthread_t thread;

	fake->reads++;
	fake->offset = read->offset;
	fake->length = read->length;
	fake->kept = read;
	if (fake->from_thread) {
		assert_int_equal(pthread_create(&thread, NULL, finish_later, fake), 0);
		pthread_detach(thread);
	} else if (!fake->keep) {
		finish(fake, read);
	}
}

static int fake_extent(void *object, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	struct fake *fake = object;

	(void)offset;
	fake->extent_asked = length;
	*ret_extent = fake->extent;
	return fake->extent_error;
}

static void fake_close(void *object)
{
	((struct fake *)object)->closed++;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = fake_read, .extent = fake_extent, .close = fake_close};

static const struct lazymem_backing_operations read_only = {.size = sizeof(read_only),
							    .read = fake_read};

static int set_up(void **state)
{
	struct fake *fake = calloc(1, sizeof(*fake));

	*state = fake;
	return lazymem_backing_create(&operations, fake, LENGTH, "fake", &fake->backing);
}

static int tear_down(void **state)
{
	struct fake *fake = *state;

	lazymem_backing_unref(fake->backing);
	free(fake);
	return 0;
}

/* ---- creation ------------------------------------------------------------ */

static void create_refuses_incomplete_tables(void **state)
{
	struct lazymem_backing_operations table = operations;
	struct lazymem_backing *backing = NULL;
	struct fake *fake = *state;

	assert_int_equal(lazymem_backing_create(NULL, fake, 1, "x", &backing), -EINVAL);
	table.read = NULL;
	assert_int_equal(lazymem_backing_create(&table, fake, 1, "x", &backing), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "x has no read operation"));
	table = operations;
	table.size = 4;
	assert_int_equal(lazymem_backing_create(&table, fake, 1, "x", &backing), -EINVAL);
	assert_int_equal(lazymem_backing_create(&operations, fake, 0, "x", &backing), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "x has a length of zero"));
	assert_null(backing);
	assert_int_equal(fake->closed, 0);
}

static void create_refuses_unknown_operations_unless_they_are_unset(void **state)
{
	struct {
		struct lazymem_backing_operations known;
		void (*newer)(void);
	} table = {operations, abort};
	struct lazymem_backing *backing = NULL;

	table.known.size = sizeof(table);
	assert_int_equal(lazymem_backing_create(&table.known, *state, 1, "x", &backing), -E2BIG);
	assert_null(backing);
	table.newer = NULL;
	assert_int_equal(lazymem_backing_create(&table.known, *state, 1, "x", &backing), 0);
	lazymem_backing_unref(backing);
}

static void create_copies_the_name_and_allows_none(void **state)
{
	struct lazymem_backing *backing;
	char name[] = "first";

	assert_int_equal(lazymem_backing_create(&operations, *state, 7, name, &backing), 0);
	memcpy(name, "other", sizeof(name));
	assert_string_equal(lazymem_backing_name(backing), "first");
	assert_int_equal(lazymem_backing_length(backing), 7);
	lazymem_backing_unref(backing);
	assert_int_equal(lazymem_backing_create(&operations, *state, 7, NULL, &backing), 0);
	assert_string_equal(lazymem_backing_name(backing), "unnamed");
	lazymem_backing_unref(backing);
}

static void the_last_reference_closes(void **state)
{
	struct fake fake = {0};

	(void)state;
	assert_int_equal(lazymem_backing_create(&operations, &fake, 1, "x", &fake.backing), 0);
	assert_ptr_equal(lazymem_backing_ref(fake.backing), fake.backing);
	lazymem_backing_unref(fake.backing);
	assert_int_equal(fake.closed, 0);
	lazymem_backing_unref(fake.backing);
	assert_int_equal(fake.closed, 1);
	lazymem_backing_unref(NULL);
	assert_int_equal(lazymem_backing_create(&read_only, &fake, 1, "x", &fake.backing), 0);
	lazymem_backing_unref(fake.backing);
	assert_int_equal(fake.closed, 1);
}

/* ---- reads --------------------------------------------------------------- */

static void read_inside_reaches_the_implementation_as_it_is(void **state)
{
	struct fake *fake = *state;
	char buffer[100];

	assert_int_equal(lazymem_backing_read(fake->backing, 9900, buffer, 100), 0);
	assert_int_equal(fake->offset, 9900);
	assert_int_equal(fake->length, 100);
	assert_int_equal(buffer[0], 'd');
	assert_int_equal(buffer[99], 'd');
}

static void read_across_the_end_is_cut_and_filled_with_zeros(void **state)
{
	struct fake *fake = *state;
	char buffer[100];

	memset(buffer, 'x', sizeof(buffer));
	assert_int_equal(lazymem_backing_read(fake->backing, 9999, buffer, 99), 0);
	assert_int_equal(fake->length, 1);
	assert_int_equal(buffer[0], 'd');
	for (int i = 1; i < 99; i++)
		assert_int_equal(buffer[i], 0);
	assert_int_equal(buffer[99], 'x');
}

static void read_past_the_end_is_refused(void **state)
{
	struct fake *fake = *state;
	char byte;

	assert_int_equal(lazymem_backing_read(fake->backing, LENGTH, &byte, 1), -ERANGE);
	assert_string_equal(lazymem_error_message(),
			    "fake: read at offset 10000 lies past its 10000 bytes");
	assert_int_equal(lazymem_backing_read(fake->backing, UINT64_MAX - 1, &byte, 1), -ERANGE);
	assert_int_equal(fake->reads, 0);
}

static void read_that_is_empty_or_wraps_is_refused(void **state)
{
	struct fake *fake = *state;
	char byte;

	assert_int_equal(lazymem_backing_read(fake->backing, 0, &byte, 0), -EINVAL);
	assert_int_equal(lazymem_backing_read(fake->backing, UINT64_MAX, &byte, 1), -EINVAL);
	assert_int_equal(lazymem_backing_read(fake->backing, 1, &byte, SIZE_MAX), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "wraps"));
	assert_int_equal(fake->reads, 0);
}

static void read_error_names_the_object_and_the_place(void **state)
{
	struct fake *fake = *state;
	char byte;

	fake->error = -EIO;
	assert_int_equal(lazymem_backing_read(fake->backing, 12, &byte, 1), -EIO);
	assert_non_null(strstr(lazymem_error_message(), "fake: cannot read 1 bytes at offset 12"));
}

static void read_waits_for_another_thread(void **state)
{
	struct fake *fake = *state;
	char byte = 0;

	fake->from_thread = true;
	assert_int_equal(lazymem_backing_read(fake->backing, 0, &byte, 1), 0);
	assert_int_equal(byte, 'd');
}

struct outcome {
	unsigned count;
	int error;
	size_t length;
};

static void note_outcome(struct lazymem_read *read, int error)
{
	struct outcome *outcome = read->context;

	outcome->count++;
	outcome->error = error;
	outcome->length = read->length;
}

static void submit_completes_a_bad_read_once(void **state)
{
	struct fake *fake = *state;
	struct outcome outcome = {0};
	char byte;
	struct lazymem_read read = {.offset = LENGTH,
				    .length = 1,
				    .buffer = &byte,
				    .complete = note_outcome,
				    .context = &outcome};

	lazymem_backing_submit(fake->backing, &read);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, -ERANGE);
	read.offset = 0;
	read.length = 0;
	lazymem_backing_submit(fake->backing, &read);
	assert_int_equal(outcome.count, 2);
	assert_int_equal(outcome.error, -EINVAL);
	assert_int_equal(fake->reads, 0);
}

static void completion_sees_the_length_it_asked_for(void **state)
{
	struct fake *fake = *state;
	struct outcome outcome = {0};
	char buffer[50];
	struct lazymem_read read = {.offset = LENGTH - 10,
				    .length = 50,
				    .buffer = buffer,
				    .complete = note_outcome,
				    .context = &outcome};

	lazymem_backing_submit(fake->backing, &read);
	assert_int_equal(outcome.length, 50);
	fake->error = -EIO;
	memset(buffer, 'x', sizeof(buffer));
	lazymem_backing_submit(fake->backing, &read);
	assert_int_equal(outcome.length, 50);
	assert_int_equal(buffer[49], 'x');
}

static void drop_reference(struct lazymem_read *read, int error)
{
	(void)error;
	lazymem_backing_unref(read->backing);
	free(read);
}

static void completion_may_drop_the_last_reference_and_the_read(void **state)
{
	struct fake fake = {0};
	struct lazymem_read *read = calloc(1, sizeof(*read));
	char byte;

	(void)state;
	assert_int_equal(lazymem_backing_create(&operations, &fake, 1, "x", &fake.backing), 0);
	*read = (struct lazymem_read){.length = 1, .buffer = &byte, .complete = drop_reference};
	lazymem_backing_submit(fake.backing, read);
	assert_int_equal(fake.closed, 1);
}

/* Does `misuse` end a child process by SIGABRT? */
static bool aborts(void (*misuse)(struct fake *fake), struct fake *fake)
{
	int status;
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		const struct rlimit none = {0, 0};

		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &none);
		misuse(fake);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void submit_kept(struct fake *fake, struct lazymem_read *read)
{
	static struct outcome outcome;
	static char byte;

	*read = (struct lazymem_read){
		.length = 1, .buffer = &byte, .complete = note_outcome, .context = &outcome};
	fake->keep = true;
	lazymem_backing_submit(fake->backing, read);
}

static void complete_twice(struct fake *fake)
{
	struct lazymem_read read;

	submit_kept(fake, &read);
	lazymem_read_complete(&read, 0);
	lazymem_read_complete(&read, 0);
}

static void complete_unsubmitted(struct fake *fake)
{
	struct lazymem_read read = {.complete = note_outcome};

	(void)fake;
	lazymem_read_complete(&read, 0);
}

static void complete_with_a_count(struct fake *fake)
{
	struct lazymem_read read;

	submit_kept(fake, &read);
	lazymem_read_complete(&read, 1);
}

static void a_second_completion_aborts(void **state)
{
	assert_true(aborts(complete_twice, *state));
}

static void completing_what_was_not_submitted_aborts(void **state)
{
	assert_true(aborts(complete_unsubmitted, *state));
}

static void a_positive_error_aborts(void **state)
{
	assert_true(aborts(complete_with_a_count, *state));
}

/* ---- extents ------------------------------------------------------------- */

static void extent_is_all_data_without_the_operation(void **state)
{
	struct lazymem_backing *backing;
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_create(&read_only, *state, LENGTH, "x", &backing), 0);
	assert_int_equal(lazymem_backing_extent(backing, 5, 20000, &extent), 0);
	assert_int_equal(extent.start, 5);
	assert_int_equal(extent.length, LENGTH - 5);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_DATA);
	lazymem_backing_unref(backing);
}

static void extent_past_the_end_is_zero(void **state)
{
	struct fake *fake = *state;
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_extent(fake->backing, LENGTH, 77, &extent), 0);
	assert_int_equal(extent.start, LENGTH);
	assert_int_equal(extent.length, 77);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
}

static void extent_asks_only_inside_and_joins_zeros_at_the_end(void **state)
{
	struct fake *fake = *state;
	struct lazymem_extent extent;

	fake->extent = (struct lazymem_extent){LENGTH - 10, 10, LAZYMEM_EXTENT_ZERO};
	assert_int_equal(lazymem_backing_extent(fake->backing, LENGTH - 10, 4096, &extent), 0);
	assert_int_equal(fake->extent_asked, 10);
	assert_int_equal(extent.length, 4096);
	fake->extent.length = 9;
	assert_int_equal(lazymem_backing_extent(fake->backing, LENGTH - 10, 4096, &extent), 0);
	assert_int_equal(extent.length, 9);
	fake->extent = (struct lazymem_extent){LENGTH - 10, 10, LAZYMEM_EXTENT_DATA};
	assert_int_equal(lazymem_backing_extent(fake->backing, LENGTH - 10, 4096, &extent), 0);
	assert_int_equal(extent.length, 10);
}

static void extent_refuses_an_empty_or_wrapping_range(void **state)
{
	struct fake *fake = *state;
	struct lazymem_extent extent = {1, 2, LAZYMEM_EXTENT_DATA};

	assert_int_equal(lazymem_backing_extent(fake->backing, 0, 0, &extent), -EINVAL);
	assert_int_equal(lazymem_backing_extent(fake->backing, 2, UINT64_MAX, &extent), -EINVAL);
	assert_int_equal(extent.start, 1);
}

static void extent_passes_the_error_on(void **state)
{
	struct fake *fake = *state;
	struct lazymem_extent extent = {1, 2, LAZYMEM_EXTENT_DATA};

	fake->extent_error = -EIO;
	assert_int_equal(lazymem_backing_extent(fake->backing, 0, 1, &extent), -EIO);
	assert_int_equal(extent.start, 1);
}

static void extent_refuses_a_wrong_answer(void **state)
{
	static const struct lazymem_extent wrong[] = {
		{100, 0, LAZYMEM_EXTENT_DATA},          {100, 51, LAZYMEM_EXTENT_DATA},
		{99, 10, LAZYMEM_EXTENT_DATA},          {101, 10, LAZYMEM_EXTENT_ZERO},
		{100, 10, (enum lazymem_extent_kind)2},
	};
	struct fake *fake = *state;
	struct lazymem_extent extent;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fake->extent = wrong[i];
		assert_int_equal(lazymem_backing_extent(fake->backing, 100, 50, &extent), -EPROTO);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create_refuses_incomplete_tables),
		TEST(create_refuses_unknown_operations_unless_they_are_unset),
		TEST(create_copies_the_name_and_allows_none),
		TEST(the_last_reference_closes),
		TEST(read_inside_reaches_the_implementation_as_it_is),
		TEST(read_across_the_end_is_cut_and_filled_with_zeros),
		TEST(read_past_the_end_is_refused),
		TEST(read_that_is_empty_or_wraps_is_refused),
		TEST(read_error_names_the_object_and_the_place),
		TEST(read_waits_for_another_thread),
		TEST(submit_completes_a_bad_read_once),
		TEST(completion_sees_the_length_it_asked_for),
		TEST(completion_may_drop_the_last_reference_and_the_read),
		TEST(a_second_completion_aborts),
		TEST(completing_what_was_not_submitted_aborts),
		TEST(a_positive_error_aborts),
		TEST(extent_is_all_data_without_the_operation),
		TEST(extent_past_the_end_is_zero),
		TEST(extent_asks_only_inside_and_joins_zeros_at_the_end),
		TEST(extent_refuses_an_empty_or_wrapping_range),
		TEST(extent_passes_the_error_on),
		TEST(extent_refuses_a_wrong_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
