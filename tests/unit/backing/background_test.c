/* SPDX-License-Identifier: MIT
 *
 * background_test.c - reads that nobody waits for, through everything that has
 * another object inside: they stay such reads, and whoever comes to wait for one
 * is heard inside.
 */
#include "backing/parts.h"

#include <errno.h>
#include <lazymem/inject.h>
#include <lazymem/layered.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH ((size_t)5 << 20)
#define MOST 64
#define PAGE ((size_t)4096)
#define BATCH 32 /* reads of a stack that are under way at once */

/* The object inside: its reads wait for release. */
static struct {
	struct lazymem_backing *backing;
	struct lazymem_read *held[MOST];
	size_t held_count;
	unsigned flags[MOST];
	const struct lazymem_read *hurried[MOST];
	size_t hurries;
	size_t hurries_at;               /* with this read, the outer one is hurried */
	struct lazymem_backing *outside; /* which is one of this object */
	struct lm_parts_pool pool;
} inner;

static struct lazymem_read outer;

static void inner_read(void *object, struct lazymem_read *read)
{
	(void)object;
	assert_true(inner.held_count < MOST);
	inner.flags[inner.held_count] = read->flags;
	inner.held[inner.held_count++] = read;
	if (inner.held_count == inner.hurries_at)
		lazymem_backing_hurry(inner.outside, &outer);
}

static void inner_read_parts(void *object, struct lazymem_read *read)
{
	(void)object;
	lm_parts_submit(&inner.pool, read);
}

static void inner_hurry(void *object, struct lazymem_read *read)
{
	(void)object;
	assert_true(inner.hurries < MOST);
	inner.hurried[inner.hurries++] = read;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = inner_read, .hurry = inner_hurry};

static const struct lazymem_backing_operations operations_in_parts = {
	.size = sizeof(operations), .read = inner_read, .read_parts = inner_read_parts};

static unsigned char *buffer;
static unsigned completions;

static void note(struct lazymem_read *read, int error)
{
	(void)read;
	assert_int_equal(error, 0);
	completions++;
}

static int create_inner(const struct lazymem_backing_operations *table)
{
	memset(&inner, 0, sizeof(inner));
	lm_parts_create(&inner.pool);
	completions = 0;
	buffer = malloc(LENGTH);
	return lazymem_backing_create(table, NULL, LENGTH, "inner", &inner.backing);
}

static int set_up(void **state)
{
	(void)state;
	return create_inner(&operations);
}

static int set_up_in_parts(void **state)
{
	(void)state;
	return create_inner(&operations_in_parts);
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(inner.backing);
	lm_parts_destroy(&inner.pool);
	free(buffer);
	return 0;
}

static void submit_bytes(struct lazymem_backing *backing, size_t length, unsigned flags)
{
	outer = (struct lazymem_read){
		.length = length, .buffer = buffer, .complete = note, .flags = flags};
	lazymem_backing_submit(backing, &outer);
}

static void submit(struct lazymem_backing *backing, unsigned flags)
{
	submit_bytes(backing, LENGTH, flags);
}

static void release_all(void)
{
	for (size_t i = 0; i < inner.held_count; i++)
		lazymem_read_complete(inner.held[i], 0);
}

/* ---- wrappers ------------------------------------------------------------------ */

static void observe(void *context, const struct lazymem_inject_read *read)
{
	*(unsigned *)context = read->flags;
}

/* Four wrappers around it, the last reference to each with the one outside. */
static struct lazymem_backing *wrap(unsigned *ret_flags)
{
	const struct lazymem_inject_range all = {0};
	struct lazymem_backing *failing, *shortened, *delayed, *recorded;

	assert_int_equal(lazymem_inject_fail(inner.backing, all, -EIO, 0, &failing), 0);
	assert_int_equal(lazymem_inject_shorten(failing, all, 0, &shortened), 0);
	assert_int_equal(lazymem_inject_delay(shortened, all, 0, &delayed), 0);
	assert_int_equal(lazymem_inject_record(delayed, observe, ret_flags, &recorded), 0);
	lazymem_backing_unref(failing);
	lazymem_backing_unref(shortened);
	lazymem_backing_unref(delayed);
	return recorded;
}

static void wrappers_hand_a_background_read_on(void **state)
{
	unsigned told = 0;
	struct lazymem_backing *wrapped = wrap(&told);

	(void)state;
	submit(wrapped, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(inner.held_count, 1);
	assert_int_equal(inner.flags[0], LAZYMEM_READ_BACKGROUND);
	release_all();
	assert_int_equal(completions, 1);
	assert_int_equal(told, LAZYMEM_READ_BACKGROUND);
	lazymem_backing_unref(wrapped);
}

static void wrappers_hand_hurry_on_to_their_own_read(void **state)
{
	unsigned told;
	struct lazymem_backing *wrapped = wrap(&told);

	(void)state;
	submit(wrapped, LAZYMEM_READ_BACKGROUND);
	lazymem_backing_hurry(wrapped, &outer);
	assert_int_equal(inner.hurries, 1);
	assert_ptr_equal(inner.hurried[0], inner.held[0]);
	release_all();
	lazymem_backing_hurry(wrapped, &outer); /* it is over */
	assert_int_equal(inner.hurries, 1);
	lazymem_backing_unref(wrapped);
}

/* ---- stacks --------------------------------------------------------------------- */

static struct lazymem_backing *stack(void)
{
	struct lazymem_backing *layered;

	assert_int_equal(lazymem_layered_create(&inner.backing, 1, &layered), 0);
	return layered;
}

static void a_stack_reads_in_the_background_what_it_is_asked_for_there(void **state)
{
	struct lazymem_backing *layered = stack();

	(void)state;
	submit(layered, LAZYMEM_READ_BACKGROUND);
	assert_true(inner.held_count > 1);
	for (size_t i = 0; i < inner.held_count; i++)
		assert_int_equal(inner.flags[i], LAZYMEM_READ_BACKGROUND);
	release_all();
	assert_int_equal(completions, 1);
	inner.held_count = 0;
	submit(layered, 0);
	assert_int_equal(inner.flags[0], 0);
	release_all();
	assert_int_equal(completions, 2);
	lazymem_backing_unref(layered);
}

static void a_stack_hurries_all_that_is_under_way(void **state)
{
	struct lazymem_backing *layered = stack();

	(void)state;
	submit(layered, LAZYMEM_READ_BACKGROUND);
	lazymem_backing_hurry(layered, &outer);
	assert_int_equal(inner.hurries, inner.held_count);
	for (size_t i = 0; i < inner.hurries; i++)
		assert_ptr_equal(inner.hurried[i], inner.held[i]);
	release_all();
	assert_int_equal(completions, 1);
	lazymem_backing_unref(layered);
}

static int every_other_page(void *object, uint64_t offset, uint64_t length,
			    struct lazymem_extent *ret_extent)
{
	const uint64_t left = PAGE - offset % PAGE;

	(void)object;
	*ret_extent = (struct lazymem_extent){.start = offset,
					      .length = length < left ? length : left,
					      .kind = offset / PAGE % 2 == 0 ? LAZYMEM_EXTENT_DATA
									     : LAZYMEM_EXTENT_ZERO};
	return 0;
}

/* Its pages take turns between two layers, so that each is a read of its own. */
static void a_stack_hurries_a_batch_that_is_being_submitted(void **state)
{
	static const struct lazymem_backing_operations with_holes = {.size = sizeof(with_holes),
								     .read = inner_read,
								     .extent = every_other_page,
								     .hurry = inner_hurry};
	struct lazymem_backing *layers[] = {inner.backing, NULL};
	const size_t count = BATCH + 8;

	(void)state;
	assert_int_equal(lazymem_backing_create(&with_holes, NULL, LENGTH, "top", &layers[1]), 0);
	assert_int_equal(lazymem_layered_create(layers, 2, &inner.outside), 0);
	lazymem_backing_unref(layers[1]);
	submit_bytes(inner.outside, count * PAGE, LAZYMEM_READ_BACKGROUND);
	assert_int_equal(inner.held_count, BATCH);
	inner.hurries_at = BATCH + 1;
	for (size_t i = 0; i < BATCH; i++)
		lazymem_read_complete(inner.held[i], 0);
	assert_int_equal(inner.held_count, count);
	assert_int_equal(inner.hurries, count - BATCH);
	for (size_t i = 0; i < inner.hurries; i++)
		assert_ptr_equal(inner.hurried[i], inner.held[BATCH + i]);
	for (size_t i = BATCH; i < count; i++)
		lazymem_read_complete(inner.held[i], 0);
	assert_int_equal(completions, 1);
	lazymem_backing_unref(inner.outside);
}

static void a_stack_hurries_no_read_but_that_one(void **state)
{
	struct lazymem_backing *layered = stack();
	struct lazymem_read other;

	(void)state;
	submit(layered, LAZYMEM_READ_BACKGROUND);
	other = outer; /* in flight, as it seems, and not there */
	lazymem_backing_hurry(layered, &other);
	assert_int_equal(inner.hurries, 0);
	release_all();
	lazymem_backing_unref(layered);
}

/* ---- parts ------------------------------------------------------------------------ */

static void parts_are_read_in_the_background_too(void **state)
{
	const struct lazymem_read_part parts[] = {{0, 4096}, {8192, 4096}};

	(void)state;
	outer = (struct lazymem_read){.length = 8192,
				      .buffer = buffer,
				      .complete = note,
				      .parts = parts,
				      .part_count = 2,
				      .flags = LAZYMEM_READ_BACKGROUND};
	lazymem_backing_submit(inner.backing, &outer);
	assert_int_equal(inner.held_count, 2);
	assert_int_equal(inner.flags[0], LAZYMEM_READ_BACKGROUND);
	assert_int_equal(inner.flags[1], LAZYMEM_READ_BACKGROUND);
	release_all();
	assert_int_equal(completions, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrappers_hand_a_background_read_on),
		TEST(wrappers_hand_hurry_on_to_their_own_read),
		TEST(a_stack_reads_in_the_background_what_it_is_asked_for_there),
		TEST(a_stack_hurries_all_that_is_under_way),
		TEST(a_stack_hurries_a_batch_that_is_being_submitted),
		TEST(a_stack_hurries_no_read_but_that_one),
		cmocka_unit_test_setup_teardown(parts_are_read_in_the_background_too,
						set_up_in_parts, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
