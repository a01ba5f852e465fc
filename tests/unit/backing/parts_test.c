/* wrap: malloc */
/* SPDX-License-Identifier: MIT
 *
 * parts_test.c - reads in parts, of an object that reads ranges: at once, in
 * the end, on other threads, in any order, and with errors.
 */
#include "backing/parts.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIT ((size_t)16)
#define MOST 600

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool no_memory;

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

/* Byte b of the object reads as value_of(b). */
static unsigned char value_of(uint64_t offset)
{
	return (unsigned char)(offset * 131 + offset / 251);
}

static struct {
	struct lm_parts_pool pool;
	struct lazymem_backing *backing;
	bool holds; /* reads wait for release */
	struct lazymem_read *held[MOST];
	size_t held_count;
	size_t most_held;
	uint64_t bad_offset; /* its read fails */
	int bad_error;
	bool closed;
} object;

static void end_read(struct lazymem_read *read)
{
	unsigned char *to = read->buffer;

	if (read->offset == object.bad_offset) {
		lazymem_read_complete(read, object.bad_error);
		return;
	}
	for (size_t i = 0; i < read->length; i++)
		to[i] = value_of(read->offset + i);
	lazymem_read_complete(read, 0);
}

static void read_range(void *context, struct lazymem_read *read)
{
	(void)context;
	assert_null(read->parts);
	if (!object.holds) {
		end_read(read);
		return;
	}
	object.held[object.held_count++] = read;
	if (object.held_count > object.most_held)
		object.most_held = object.held_count;
}

static void read_parts(void *context, struct lazymem_read *read)
{
	(void)context;
	lm_parts_submit(&object.pool, read);
}

static void closed(void *context)
{
	(void)context;
	object.closed = true;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = read_range, .read_parts = read_parts, .close = closed};

static struct lazymem_read_part parts[MOST];
static unsigned char buffer[MOST * UNIT];
static unsigned completions;
static int outcome;

static void note(struct lazymem_read *read, int error)
{
	(void)read;
	completions++;
	outcome = error;
}

static int set_up(void **state)
{
	(void)state;
	memset(&object, 0, sizeof(object));
	object.bad_offset = UINT64_MAX;
	lm_parts_create(&object.pool);
	completions = 0;
	outcome = 1;
	memset(buffer, 0, sizeof(buffer));
	for (size_t i = 0; i < MOST; i++) /* scattered, and backwards */
		parts[i] = (struct lazymem_read_part){(MOST - i) * 1000, UNIT - i % 3};
	return lazymem_backing_create(&operations, NULL, (MOST + 1) * 1000, "object",
				      &object.backing);
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(object.backing);
	lm_parts_destroy(&object.pool);
	return 0;
}

static struct lazymem_read start(size_t count)
{
	struct lazymem_read read = {
		.buffer = buffer, .parts = parts, .part_count = count, .complete = note};

	for (size_t i = 0; i < count; i++)
		read.length += parts[i].length;
	return read;
}

static void assert_delivered(size_t count)
{
	const unsigned char *next = buffer;

	assert_int_equal(completions, 1);
	assert_int_equal(outcome, 0);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < parts[i].length; j++)
			assert_int_equal(*next++, value_of(parts[i].offset + j));
	assert_int_equal(*next, 0); /* and no more */
}

static void each_part_comes_to_its_place(void **state)
{
	static const size_t counts[] = {1, 2, 127, 128, 129, 256, MOST - 1};

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct lazymem_read read = start(counts[i]);

		completions = 0;
		memset(buffer, 0, sizeof(buffer));
		lazymem_backing_submit(object.backing, &read);
		assert_delivered(counts[i]);
	}
}

static void parts_are_in_flight_together(void **state)
{
	struct lazymem_read read = start(100);

	(void)state;
	object.holds = true;
	lazymem_backing_submit(object.backing, &read);
	assert_int_equal(object.held_count, 100);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(completions, 0);
		end_read(object.held[(i * 37) % 100]);
	}
	assert_delivered(100);
}

static void more_parts_follow_when_the_first_are_over(void **state)
{
	struct lazymem_read read = start(300);

	(void)state;
	object.holds = true;
	lazymem_backing_submit(object.backing, &read);
	for (size_t over = 0; over < object.held_count; over++)
		end_read(object.held[over]);
	assert_int_equal(object.held_count, 300);
	assert_delivered(300);
}

static void an_error_is_told_once_and_after_the_last_part(void **state)
{
	struct lazymem_read read = start(300);

	(void)state;
	object.holds = true;
	object.bad_offset = parts[3].offset;
	object.bad_error = -EIO;
	lazymem_backing_submit(object.backing, &read);
	for (size_t over = 0; over < object.held_count; over++) {
		assert_int_equal(completions, 0);
		end_read(object.held[over]);
	}
	assert_true(object.held_count < 300); /* no further ones */
	assert_int_equal(completions, 1);
	assert_int_equal(outcome, -EIO);
}

static void *end_all(void *argument)
{
	(void)argument;
	for (size_t over = 0; over < object.held_count; over++)
		end_read(object.held[over]);
	return NULL;
}

/* After the first batch the reads come from a thread that the queue does not
 * belong to. */
static void parts_may_end_on_another_thread(void **state)
{
	struct lazymem_read read = start(300);
	pthread_t thread;
	int queue;

	(void)state;
	object.holds = true;
	read.queue = &queue;
	lazymem_backing_submit(object.backing, &read);
	for (size_t i = 0; i < object.held_count; i++)
		assert_ptr_equal(object.held[i]->queue, &queue);
	const size_t first = object.held_count;

	assert_int_equal(pthread_create(&thread, NULL, end_all, NULL), 0);
	pthread_join(thread, NULL);
	assert_delivered(300);
	for (size_t i = first; i < object.held_count; i++)
		assert_null(object.held[i]->queue);
}

static void drop(struct lazymem_read *read, int error)
{
	note(read, error);
	lazymem_backing_unref(object.backing);
	object.backing = NULL;
	lm_parts_destroy(&object.pool);
}

static void the_completion_may_drop_the_object(void **state)
{
	struct lazymem_read read = start(5);

	(void)state;
	read.complete = drop;
	lazymem_backing_submit(object.backing, &read);
	assert_true(object.closed);
	assert_delivered(5);
	lm_parts_create(&object.pool);
}

static void without_memory_the_read_fails(void **state)
{
	struct lazymem_read read = start(5);

	(void)state;
	no_memory = true;
	lazymem_backing_submit(object.backing, &read);
	no_memory = false;
	assert_int_equal(completions, 1);
	assert_int_equal(outcome, -ENOMEM);
}

static void the_next_read_takes_no_memory(void **state)
{
	struct lazymem_read read = start(5);

	(void)state;
	lazymem_backing_submit(object.backing, &read);
	completions = 0;
	no_memory = true;
	lazymem_backing_submit(object.backing, &read);
	no_memory = false;
	assert_delivered(5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_part_comes_to_its_place),
		TEST(parts_are_in_flight_together),
		TEST(more_parts_follow_when_the_first_are_over),
		TEST(an_error_is_told_once_and_after_the_last_part),
		TEST(parts_may_end_on_another_thread),
		TEST(the_completion_may_drop_the_object),
		TEST(without_memory_the_read_fails),
		TEST(the_next_read_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
