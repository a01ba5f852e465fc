/* wrap: malloc */
/* SPDX-License-Identifier: MIT
 *
 * wrapper_write_test.c - writes, flushes and discards through the wrappers that
 * delay, fail, shorten and record.
 */
#include "backing/queue.h"

#include "inject_fixture.h"

#include <lazymem/file.h>

#define MS UINT64_C(1000000)

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool no_memory;

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

static unsigned char bytes[LENGTH]; /* of the object that is written */
static struct lazymem_backing *target;

static int make_target(void **state)
{
	no_memory = false;
	memset(bytes, 0, LENGTH);
	if (lazymem_bytes_create_writable(bytes, LENGTH, NULL, NULL, &target) != 0)
		return -1;
	return set_up(state);
}

static int drop_target(void **state)
{
	lazymem_backing_unref(target);
	return tear_down(state);
}

static struct lazymem_inject_range hit(uint64_t start, uint64_t length, unsigned operations)
{
	return (struct lazymem_inject_range){start, length, operations};
}

static struct lazymem_backing *make_fail(uint64_t start, uint64_t length, unsigned operations,
					 uint64_t count)
{
	struct lazymem_backing *fail;

	assert_int_equal(
		lazymem_inject_fail(target, hit(start, length, operations), -EIO, count, &fail), 0);
	return fail;
}

static void assert_bytes(uint64_t start, size_t length)
{
	assert_true(sample_matches(bytes + start, start, length));
}

static void assert_zeros(uint64_t start, size_t length)
{
	for (size_t i = 0; i < length; i++)
		assert_int_equal(bytes[start + i], 0);
}

/* ---- all of them --------------------------------------------------------- */

static void ignore(void *context, const struct lazymem_inject_read *read)
{
	(void)context;
	(void)read;
}

static struct lazymem_backing *wrap_thrice(struct lazymem_backing *object)
{
	struct lazymem_backing *delay, *shorten, *record;

	assert_int_equal(lazymem_inject_delay(object, everything, MS, &delay), 0);
	assert_int_equal(lazymem_inject_shorten(delay, everything, 0, &shorten), 0);
	lazymem_backing_unref(delay);
	assert_int_equal(lazymem_inject_record(shorten, ignore, NULL, &record), 0);
	lazymem_backing_unref(shorten);
	return record;
}

static void a_wrapper_is_writable_when_the_object_inside_is(void **state)
{
	struct lazymem_backing *read_only = wrap_thrice(inner), *writable = wrap_thrice(target);

	(void)state;
	assert_false(lazymem_backing_is_writable(read_only));
	assert_int_equal(lazymem_backing_write(read_only, 0, sample, 1), -EROFS);
	assert_true(lazymem_backing_is_writable(writable));
	assert_int_equal(lazymem_backing_write(writable, 100, sample + 100, 1000), 0);
	assert_bytes(100, 1000);
	assert_int_equal(lazymem_backing_flush(writable), 0);
	assert_int_equal(lazymem_backing_discard(writable, 200, 300), 0);
	assert_zeros(200, 300);
	assert_bytes(500, 600);
	lazymem_backing_unref(read_only);
	lazymem_backing_unref(writable);
}

static void reads_alone_are_hit_where_nobody_says(void **state)
{
	struct lazymem_backing *fail = make_fail(0, 0, 0, UINT64_MAX);

	(void)state;
	assert_int_equal(lazymem_backing_write(fail, 0, sample, 100), 0);
	assert_int_equal(lazymem_backing_flush(fail), 0);
	assert_int_equal(lazymem_backing_discard(fail, 0, 50), 0);
	assert_int_equal(lazymem_backing_read(fail, 0, buffer, 1), -EIO);
	lazymem_backing_unref(fail);
}

static void an_unknown_operation_is_refused(void **state)
{
	struct lazymem_backing *none = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_fail(target, hit(0, 0, 16), -EIO, 1, &none), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "0x10"));
	assert_int_equal(lazymem_inject_delay(target, hit(0, 0, 16), 1, &none), -EINVAL);
	assert_int_equal(lazymem_inject_shorten(target, hit(0, 0, 16), 1, &none), -EINVAL);
	assert_null(none);
}

static void without_memory_a_write_and_a_flush_fail(void **state)
{
	struct lazymem_backing *fail = make_fail(0, 0, 0, 0);
	int write_error, flush_error;

	(void)state;
	no_memory = true;
	write_error = lazymem_backing_write(fail, 0, sample, 1);
	flush_error = lazymem_backing_flush(fail);
	no_memory = false;
	assert_int_equal(write_error, -ENOMEM);
	assert_int_equal(flush_error, -ENOMEM);
	assert_zeros(0, 1);
	lazymem_backing_unref(fail);
}

/* ---- fail ---------------------------------------------------------------- */

static void writes_in_the_range_fail_and_change_nothing(void **state)
{
	struct lazymem_backing *fail = make_fail(1000, 10, LAZYMEM_INJECT_WRITE, 2);

	(void)state;
	assert_int_equal(lazymem_backing_write(fail, 0, sample, 1000), 0);
	assert_int_equal(lazymem_backing_write(fail, 1009, sample + 1009, 50), -EIO);
	assert_int_equal(lazymem_backing_write(fail, 900, sample + 900, 101), -EIO);
	assert_zeros(1000, 60);
	assert_int_equal(lazymem_backing_read(fail, 1000, buffer, 10), 0);
	assert_int_equal(lazymem_backing_flush(fail), 0);
	assert_int_equal(lazymem_backing_write(fail, 1000, sample + 1000, 10), 0);
	assert_bytes(0, 1010);
	lazymem_backing_unref(fail);
}

static void a_flush_fails_wherever_the_range_lies(void **state)
{
	struct lazymem_backing *fail = make_fail(1000, 1, LAZYMEM_INJECT_FLUSH, 1);

	(void)state;
	assert_int_equal(lazymem_backing_write(fail, 1000, sample, 1), 0);
	assert_int_equal(lazymem_backing_flush(fail), -EIO);
	assert_int_equal(lazymem_backing_flush(fail), 0);
	assert_int_equal(lazymem_backing_failed_flushes(fail), 1);
	lazymem_backing_unref(fail);
}

static void a_discard_fails_and_changes_nothing(void **state)
{
	struct lazymem_backing *fail = make_fail(10, 1, LAZYMEM_INJECT_DISCARD, 1);

	(void)state;
	assert_int_equal(lazymem_backing_write(fail, 0, sample, 100), 0);
	assert_int_equal(lazymem_backing_discard(fail, 11, 5), 0);
	assert_int_equal(lazymem_backing_discard(fail, 0, 11), -EIO);
	assert_bytes(0, 11);
	assert_zeros(11, 5);
	assert_int_equal(lazymem_backing_discard(fail, 0, 11), 0);
	assert_zeros(0, 11);
	lazymem_backing_unref(fail);
}

/* ---- shorten ------------------------------------------------------------- */

static void half_of_a_write_is_written(void **state)
{
	struct lazymem_backing *shorten;

	(void)state;
	assert_int_equal(
		lazymem_inject_shorten(target, hit(0, 0, LAZYMEM_INJECT_WRITE), 2, &shorten), 0);
	assert_int_equal(lazymem_backing_write(shorten, 0, sample, 1000), -ENOSPC);
	assert_bytes(0, 500);
	assert_zeros(500, 500);
	assert_int_equal(lazymem_backing_write(shorten, 500, sample + 500, 1), -ENOSPC);
	assert_zeros(500, 1);
	assert_int_equal(lazymem_backing_write(shorten, 500, sample + 500, 500), 0);
	assert_bytes(0, 1000);
	lazymem_backing_unref(shorten);
}

static void a_shortened_write_that_fails_keeps_its_error(void **state)
{
	struct lazymem_backing *fail = make_fail(0, 0, LAZYMEM_INJECT_WRITE, 1), *shorten;

	(void)state;
	assert_int_equal(lazymem_inject_shorten(fail, hit(0, 0, LAZYMEM_INJECT_WRITE), 1, &shorten),
			 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_write(shorten, 0, sample, 1000), -EIO);
	lazymem_backing_unref(shorten);
}

/* ---- delay --------------------------------------------------------------- */

static void what_is_hit_takes_its_time(void **state)
{
	static const unsigned all =
		LAZYMEM_INJECT_WRITE | LAZYMEM_INJECT_FLUSH | LAZYMEM_INJECT_DISCARD;
	struct lazymem_backing *delay;
	uint64_t start;

	(void)state;
	assert_int_equal(lazymem_inject_delay(target, hit(0, 4096, all), 20 * MS, &delay), 0);
	start = now_ns();
	assert_int_equal(lazymem_backing_write(delay, 4095, sample + 4095, 2), 0);
	assert_true(now_ns() - start >= 20 * MS);
	assert_bytes(4095, 2);
	start = now_ns();
	assert_int_equal(lazymem_backing_flush(delay), 0);
	assert_true(now_ns() - start >= 20 * MS);
	start = now_ns();
	assert_int_equal(lazymem_backing_discard(delay, 0, 4096), 0);
	assert_true(now_ns() - start >= 20 * MS);
	lazymem_backing_unref(delay);
}

static void what_is_not_hit_is_not_held_up(void **state)
{
	struct lazymem_backing *delay;
	const uint64_t start = now_ns();

	(void)state;
	assert_int_equal(
		lazymem_inject_delay(target, hit(0, 1, LAZYMEM_INJECT_WRITE), HOUR, &delay), 0);
	assert_int_equal(lazymem_backing_write(delay, 1, sample, 100), 0);
	assert_int_equal(lazymem_backing_flush(delay), 0);
	assert_int_equal(lazymem_backing_discard(delay, 0, 1), 0);
	assert_int_equal(lazymem_backing_read(delay, 0, buffer, 1), 0);
	assert_true(now_ns() - start < HOUR);
	lazymem_backing_unref(delay);
}

/* ---- record -------------------------------------------------------------- */

static struct lazymem_inject_read told[16];
static unsigned tellings;

static void remember(void *context, const struct lazymem_inject_read *read)
{
	(void)context;
	told[tellings++] = *read;
}

static void assert_told(unsigned index, enum lazymem_inject_operation operation, uint64_t offset,
			uint64_t length, int error)
{
	assert_int_equal(told[index].operation, operation);
	assert_int_equal(told[index].offset, offset);
	assert_int_equal(told[index].length, length);
	assert_int_equal(told[index].error, error);
	assert_true(told[index].completed_ns >= told[index].submitted_ns);
	assert_true(told[index].submitted_ns > 0);
}

static void every_operation_is_told_with_its_kind(void **state)
{
	struct lazymem_backing *fail = make_fail(0, 0, LAZYMEM_INJECT_FLUSH, 1), *record;

	(void)state;
	tellings = 0;
	assert_int_equal(lazymem_inject_record(fail, remember, NULL, &record), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_write(record, 5, sample, 7), 0);
	assert_int_equal(lazymem_backing_flush(record), -EIO);
	assert_int_equal(lazymem_backing_discard(record, 2, 3), 0);
	assert_int_equal(lazymem_backing_read(record, 1, buffer, 2), 0);
	assert_int_equal(tellings, 4);
	assert_told(0, LAZYMEM_INJECT_WRITE, 5, 7, 0);
	assert_told(1, LAZYMEM_INJECT_FLUSH, 0, 0, -EIO);
	assert_told(2, LAZYMEM_INJECT_DISCARD, 2, 3, 0);
	assert_told(3, LAZYMEM_INJECT_READ, 1, 2, 0);
	lazymem_backing_unref(record);
}

/* ---- queues -------------------------------------------------------------- */

static struct lm_queue *queue;
static bool ended;

static void end(struct lazymem_write *write, int error)
{
	(void)write;
	assert_int_equal(error, 0);
	ended = true;
}

/* Past the page cache: what goes into it is written on the calling thread. */
static void the_queue_is_handed_on(void **state)
{
	enum { BLOCK = 4096 };
	static _Alignas(BLOCK) unsigned char block[BLOCK];
	char *directory = sample_make_directory(), *path;
	const struct lazymem_file_options options = {
		.size = sizeof(options), .flags = LAZYMEM_FILE_WRITABLE | LAZYMEM_FILE_DIRECT};
	struct lazymem_write write = {.length = BLOCK, .buffer = block, .complete = end};
	struct lazymem_backing *file, *record;

	(void)state;
	if (asprintf(&path, "%s/file", directory) < 0)
		abort();
	sample_write(path, 0, BLOCK);
	if (lm_queue_create(4, &queue) != 0)
		skip();
	if (lazymem_file_open(path, &options, &file) != 0)
		skip(); /* the file system has no O_DIRECT */
	assert_int_equal(lazymem_inject_record(file, ignore, NULL, &record), 0);
	lazymem_backing_unref(file);
	write.queue = queue;
	for (int i = 0; i < 2; i++) {
		ended = false;
		if (i == 0)
			lazymem_backing_submit_write(record, &write);
		else
			lazymem_backing_submit_flush(record, &write);
		assert_false(ended); /* it completes from inside the queue */
		while (!ended)
			assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	}
	lazymem_backing_unref(record);
	lm_queue_destroy(queue);
	free(path);
	sample_remove_directory(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_target, drop_target)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_wrapper_is_writable_when_the_object_inside_is),
		TEST(reads_alone_are_hit_where_nobody_says),
		TEST(an_unknown_operation_is_refused),
		TEST(without_memory_a_write_and_a_flush_fail),
		TEST(writes_in_the_range_fail_and_change_nothing),
		TEST(a_flush_fails_wherever_the_range_lies),
		TEST(a_discard_fails_and_changes_nothing),
		TEST(half_of_a_write_is_written),
		TEST(a_shortened_write_that_fails_keeps_its_error),
		TEST(what_is_hit_takes_its_time),
		TEST(what_is_not_hit_is_not_held_up),
		TEST(every_operation_is_told_with_its_kind),
		TEST(the_queue_is_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
