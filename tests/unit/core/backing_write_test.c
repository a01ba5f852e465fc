/* SPDX-License-Identifier: MIT
 *
 * backing_write_test.c - the half of the dispatch that writes, over an object of
 * 10,000 bytes that notes what reaches it.
 */
#include "model.h"

#include <lazymem/backing.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define LENGTH UINT64_C(10000)

struct fake {
	unsigned writes, flushes, discards;
	struct lazymem_write *kept; /* the last one, where `keeps` */
	bool keeps;
	uint64_t offset, length; /* of the last write or discard */
	const void *buffer;
	int error; /* that everything ends with */
	bool closed;
};

static void fake_read(void *object, struct lazymem_read *read)
{
	(void)object;
	lazymem_read_complete(read, 0);
}

static void end(struct fake *fake, struct lazymem_write *write)
{
	if (fake->keeps)
		__atomic_store_n(&fake->kept, write, __ATOMIC_RELEASE);
	else
		lazymem_write_complete(write, fake->error);
}

static void fake_write(void *object, struct lazymem_write *write)
{
	struct fake *fake = object;

	fake->writes++;
	fake->offset = write->offset;
	fake->length = write->length;
	fake->buffer = write->buffer;
	memset(write->scratch.bytes, 0xee, sizeof(write->scratch.bytes));
	end(fake, write);
}

static void fake_flush(void *object, struct lazymem_write *flush)
{
	struct fake *fake = object;

	fake->flushes++;
	memset(flush->scratch.bytes, 0xee, sizeof(flush->scratch.bytes));
	end(fake, flush);
}

static int fake_discard(void *object, uint64_t offset, uint64_t length)
{
	struct fake *fake = object;

	fake->discards++;
	fake->offset = offset;
	fake->length = length;
	return fake->error;
}

static void fake_close(void *object)
{
	((struct fake *)object)->closed = true;
}

static const struct lazymem_backing_operations everything = {.size = sizeof(everything),
							     .read = fake_read,
							     .write = fake_write,
							     .flush = fake_flush,
							     .discard = fake_discard,
							     .close = fake_close};
static const struct lazymem_backing_operations only_writes = {
	.size = sizeof(only_writes), .read = fake_read, .write = fake_write};
static const struct lazymem_backing_operations only_reads = {.size = sizeof(only_reads),
							     .read = fake_read};

static struct fake fake;
static struct lazymem_backing *backing, *bare, *read_only;
static char bytes[16384];

static int set_up(void **state)
{
	(void)state;
	fake = (struct fake){0};
	assert_int_equal(lazymem_backing_create(&everything, &fake, LENGTH, "full", &backing), 0);
	assert_int_equal(lazymem_backing_create(&only_writes, &fake, LENGTH, "bare", &bare), 0);
	assert_int_equal(lazymem_backing_create(&only_reads, &fake, LENGTH, "stone", &read_only),
			 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(backing);
	lazymem_backing_unref(bare);
	lazymem_backing_unref(read_only);
	return 0;
}

struct outcome {
	unsigned count;
	int error;
};

static void note(struct lazymem_write *write, int error)
{
	struct outcome *outcome = write->context;

	outcome->count++;
	outcome->error = error;
}

static struct lazymem_write make_write(uint64_t offset, size_t length, struct outcome *outcome)
{
	return (struct lazymem_write){.offset = offset,
				      .length = length,
				      .buffer = bytes,
				      .complete = note,
				      .context = outcome};
}

/* How a write that is submitted to this object completes. */
static int submit(struct lazymem_backing *object, uint64_t offset, size_t length)
{
	struct outcome outcome = {0};
	struct lazymem_write write = make_write(offset, length, &outcome);

	lazymem_backing_submit_write(object, &write);
	assert_int_equal(outcome.count, 1);
	return outcome.error;
}

/* ---- tables -------------------------------------------------------------- */

static void flush_or_discard_without_write_is_refused(void **state)
{
	const struct lazymem_backing_operations flushes = {
		.size = sizeof(flushes), .read = fake_read, .flush = fake_flush};
	const struct lazymem_backing_operations discards = {
		.size = sizeof(discards), .read = fake_read, .discard = fake_discard};
	struct lazymem_backing *none = NULL;

	(void)state;
	assert_int_equal(lazymem_backing_create(&flushes, NULL, 1, "odd", &none), -EINVAL);
	assert_says("odd");
	assert_int_equal(lazymem_backing_create(&discards, NULL, 1, "odd", &none), -EINVAL);
	assert_null(none);
}

static void who_has_the_operation_is_writable(void **state)
{
	(void)state;
	assert_true(lazymem_backing_is_writable(backing));
	assert_true(lazymem_backing_is_writable(bare));
	assert_false(lazymem_backing_is_writable(read_only));
}

static void a_table_from_before_there_were_writes_is_read_only(void **state)
{
	const struct lazymem_backing_operations older = {
		.size = offsetof(struct lazymem_backing_operations, write), .read = fake_read};
	struct lazymem_backing *old;

	(void)state;
	assert_int_equal(lazymem_backing_create(&older, NULL, LENGTH, "old", &old), 0);
	assert_false(lazymem_backing_is_writable(old));
	lazymem_backing_unref(old);
}

/* ---- what is refused ----------------------------------------------------- */

static void a_read_only_object_refuses_everything_by_name(void **state)
{
	struct outcome outcome = {0};
	struct lazymem_write flush = make_write(0, 0, &outcome);

	(void)state;
	assert_int_equal(submit(read_only, 0, 1), -EROFS);
	assert_says("stone");
	lazymem_backing_submit_flush(read_only, &flush);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(outcome.error, -EROFS);
	assert_int_equal(lazymem_backing_write(read_only, 0, bytes, 1), -EROFS);
	assert_says("stone: write");
	assert_int_equal(lazymem_backing_flush(read_only), -EROFS);
	assert_says("stone: flush");
	assert_int_equal(lazymem_backing_discard(read_only, 0, 1), -EROFS);
	assert_says("stone: discard");
	assert_int_equal(lazymem_backing_failed_flushes(read_only), 0);
}

static void what_is_empty_or_wraps_is_refused(void **state)
{
	(void)state;
	assert_int_equal(submit(backing, 5, 0), -EINVAL);
	assert_int_equal(submit(backing, UINT64_MAX, 2), -EINVAL);
	assert_says("full: write of 2 bytes");
	assert_int_equal(lazymem_backing_write(backing, 5, bytes, 0), -EINVAL);
	assert_int_equal(lazymem_backing_discard(backing, 5, 0), -EINVAL);
	assert_int_equal(lazymem_backing_discard(backing, 2, UINT64_MAX), -EINVAL);
	assert_int_equal(fake.writes + fake.discards, 0);
}

static void what_does_not_lie_wholly_inside_is_refused(void **state)
{
	(void)state;
	assert_int_equal(submit(backing, LENGTH - 1, 2), -ERANGE);
	assert_int_equal(submit(backing, LENGTH, 1), -ERANGE);
	assert_int_equal(lazymem_backing_write(backing, 0, bytes, LENGTH + 1), -ERANGE);
	assert_says("its 10000 bytes");
	assert_int_equal(lazymem_backing_discard(backing, LENGTH - 1, 2), -ERANGE);
	assert_int_equal(fake.writes + fake.discards, 0);
	assert_int_equal(submit(backing, LENGTH - 1, 1), 0);
	assert_int_equal(lazymem_backing_discard(backing, 0, LENGTH), 0);
}

/* ---- what reaches the object --------------------------------------------- */

static void a_write_inside_reaches_the_object_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_write(backing, 77, bytes + 5, 99), 0);
	assert_int_equal(fake.writes, 1);
	assert_int_equal(fake.offset, 77);
	assert_int_equal(fake.length, 99);
	assert_ptr_equal(fake.buffer, bytes + 5);
}

static void errors_name_the_object_and_the_place(void **state)
{
	(void)state;
	fake.error = -ENOSPC;
	assert_int_equal(lazymem_backing_write(backing, 77, bytes, 99), -ENOSPC);
	assert_says("full: cannot write 99 bytes at offset 77");
	assert_int_equal(lazymem_backing_discard(backing, 88, 11), -ENOSPC);
	assert_says("full: cannot discard 11 bytes at offset 88");
	assert_int_equal(lazymem_backing_flush(backing), -ENOSPC);
	assert_says("full: cannot make durable");
}

static void without_a_flush_operation_there_is_nothing_to_flush(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_flush(bare), 0);
	assert_int_equal(fake.flushes, 0);
	assert_int_equal(lazymem_backing_flush(backing), 0);
	assert_int_equal(fake.flushes, 1);
}

static void an_object_that_cannot_discard_says_so(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_discard(bare, 0, 1), -EOPNOTSUPP);
	assert_says("bare");
}

static void *complete_kept(void *argument)
{
	(void)argument;
	while (__atomic_load_n(&fake.kept, __ATOMIC_ACQUIRE) == NULL)
		usleep(100);
	lazymem_write_complete(fake.kept, -EIO);
	return NULL;
}

static void write_and_flush_wait_for_another_thread(void **state)
{
	pthread_t thread;

	(void)state;
	fake.keeps = true;
	pthread_create(&thread, NULL, complete_kept, NULL);
	assert_int_equal(lazymem_backing_write(backing, 0, bytes, 1), -EIO);
	pthread_join(thread, NULL);
	fake.kept = NULL;
	pthread_create(&thread, NULL, complete_kept, NULL);
	assert_int_equal(lazymem_backing_flush(backing), -EIO);
	pthread_join(thread, NULL);
}

static void drop(struct lazymem_write *write, int error)
{
	assert_int_equal(error, 0);
	lazymem_backing_unref(backing);
	backing = NULL;
	free(write);
}

static void a_completion_may_drop_the_last_reference_and_the_write(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct lazymem_write *write = calloc(1, sizeof(*write));

		write->length = 1;
		write->buffer = bytes;
		write->complete = drop;
		if (i == 0)
			lazymem_backing_submit_write(backing, write);
		else
			lazymem_backing_submit_flush(backing, write);
		assert_true(fake.closed);
		fake.closed = false;
		assert_int_equal(
			lazymem_backing_create(&everything, &fake, LENGTH, "full", &backing), 0);
	}
}

/* ---- bugs of an implementation ------------------------------------------- */

static bool aborts(void (*act)(struct lazymem_write *write))
{
	const pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct outcome outcome = {0};
		struct lazymem_write write = make_write(0, 1, &outcome);
		const struct rlimit none = {0, 0};

		signal(SIGABRT, SIG_DFL);
		setrlimit(RLIMIT_CORE, &none);
		fake.keeps = true;
		act(&write);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void complete_write_twice(struct lazymem_write *write)
{
	lazymem_backing_submit_write(backing, write);
	lazymem_write_complete(write, 0);
	lazymem_write_complete(write, 0);
}

static void complete_flush_twice(struct lazymem_write *write)
{
	lazymem_backing_submit_flush(backing, write);
	lazymem_write_complete(write, 0);
	lazymem_write_complete(write, 0);
}

static void complete_with_a_count(struct lazymem_write *write)
{
	lazymem_backing_submit_write(backing, write);
	lazymem_write_complete(write, 1);
}

static void complete_once(struct lazymem_write *write)
{
	lazymem_backing_submit_write(backing, write);
	lazymem_write_complete(write, 0);
}

static void complete_what_was_not_submitted(struct lazymem_write *write)
{
	lazymem_write_complete(write, 0);
}

static void a_second_completion_and_a_count_abort(void **state)
{
	(void)state;
	assert_false(aborts(complete_once));
	assert_true(aborts(complete_write_twice));
	assert_true(aborts(complete_flush_twice));
	assert_true(aborts(complete_with_a_count));
	assert_true(aborts(complete_what_was_not_submitted));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flush_or_discard_without_write_is_refused),
		TEST(who_has_the_operation_is_writable),
		TEST(a_table_from_before_there_were_writes_is_read_only),
		TEST(a_read_only_object_refuses_everything_by_name),
		TEST(what_is_empty_or_wraps_is_refused),
		TEST(what_does_not_lie_wholly_inside_is_refused),
		TEST(a_write_inside_reaches_the_object_as_it_is),
		TEST(errors_name_the_object_and_the_place),
		TEST(without_a_flush_operation_there_is_nothing_to_flush),
		TEST(an_object_that_cannot_discard_says_so),
		TEST(write_and_flush_wait_for_another_thread),
		TEST(a_completion_may_drop_the_last_reference_and_the_write),
		TEST(a_second_completion_and_a_count_abort),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
