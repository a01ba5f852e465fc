/* SPDX-License-Identifier: MIT
 *
 * nbd_reads_test.c - the reads of an NBD object: in which order their bytes are
 * asked for, and when they complete.
 */
#include "backing/nbd_reads.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define MOST 8

struct own {
	struct lazymem_read read;
	unsigned completions;
	int error;
};

static struct lm_nbd_reads reads;
static struct own owns[MOST];
static unsigned char buffer[65536];

/* The dispatch of an object is what marks a read as in flight. */
static void take(void *object, struct lazymem_read *read)
{
	(void)object;
	lm_nbd_reads_add(&reads, read);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = take, .read_parts = take};

static struct lazymem_backing *backing;

static int set_up(void **state)
{
	(void)state;
	lm_nbd_reads_init(&reads);
	return lazymem_backing_create(&operations, NULL, 1 << 20, "reads", &backing);
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(backing);
	lm_nbd_reads_destroy(&reads);
	return 0;
}

static void note(struct lazymem_read *read, int error)
{
	struct own *own = read->context;

	own->completions++;
	own->error = error;
}

static void add(size_t index, uint64_t offset, size_t length, unsigned flags)
{
	struct own *own = &owns[index];

	*own = (struct own){.read = {.offset = offset,
				     .length = length,
				     .buffer = buffer,
				     .complete = note,
				     .context = own,
				     .flags = flags}};
	lazymem_backing_submit(backing, &own->read);
}

/* The next range of a role must be this one. */
static struct lm_nbd_read *assert_next(enum lm_nbd_role role, size_t most, uint64_t offset,
				       size_t length)
{
	struct lm_nbd_range range;

	assert_true(lm_nbd_reads_next(&reads, role, most, &range));
	assert_int_equal(range.offset, offset);
	assert_int_equal(range.length, length);
	return range.read;
}

static void assert_none(enum lm_nbd_role role)
{
	struct lm_nbd_range range;

	assert_false(lm_nbd_reads_next(&reads, role, 4096, &range));
}

static void end(struct lm_nbd_read *read, int error)
{
	lm_nbd_reads_request_over(&reads, read, error);
}

/* ---- order ------------------------------------------------------------------------ */

static void a_read_is_asked_for_in_pieces_and_completes_with_the_last(void **state)
{
	struct lm_nbd_read *read;

	(void)state;
	add(0, 1000, 10000, 0);
	read = assert_next(LM_NBD_DEMAND, 4096, 1000, 4096);
	assert_next(LM_NBD_DEMAND, 4096, 5096, 4096);
	end(read, 0);
	assert_next(LM_NBD_DEMAND, 4096, 9192, 1808);
	assert_none(LM_NBD_DEMAND);
	end(read, 0);
	assert_int_equal(owns[0].completions, 0);
	assert_false(lm_nbd_reads_is_idle(&reads));
	end(read, 0);
	assert_int_equal(owns[0].completions, 1);
	assert_int_equal(owns[0].error, 0);
	assert_true(lm_nbd_reads_is_idle(&reads));
}

static void parts_go_side_by_side_into_the_buffer(void **state)
{
	const struct lazymem_read_part parts[] = {{8192, 100}, {0, 5000}};
	struct lm_nbd_range range;

	(void)state;
	owns[0] = (struct own){.read = {.length = 5100,
					.buffer = buffer,
					.complete = note,
					.context = &owns[0],
					.parts = parts,
					.part_count = 2}};
	lazymem_backing_submit(backing, &owns[0].read);
	assert_next(LM_NBD_DEMAND, 4096, 8192, 100);
	assert_true(lm_nbd_reads_next(&reads, LM_NBD_DEMAND, 4096, &range));
	assert_int_equal(range.offset, 0);
	assert_int_equal(range.length, 4096);
	assert_ptr_equal(range.buffer, buffer + 100);
	assert_next(LM_NBD_DEMAND, 4096, 4096, 904);
	for (int i = 0; i < 3; i++)
		end(range.read, 0);
	assert_int_equal(owns[0].completions, 1);
}

static void roles_have_queues_of_their_own(void **state)
{
	struct lm_nbd_read *background;

	(void)state;
	add(0, 0, 4096, LAZYMEM_READ_BACKGROUND);
	add(1, 8192, 4096, 0);
	end(assert_next(LM_NBD_DEMAND, 4096, 8192, 4096), 0);
	background = assert_next(LM_NBD_BACKGROUND, 4096, 0, 4096);
	assert_none(LM_NBD_DEMAND);
	end(background, 0);
	assert_int_equal(owns[0].completions + owns[1].completions, 2);
	assert_int_equal(reads.arrivals, 1);
}

/* ---- hurry ------------------------------------------------------------------------- */

static void the_rest_of_a_hurried_read_is_demand(void **state)
{
	struct lm_nbd_read *read;

	(void)state;
	add(0, 0, 8192, LAZYMEM_READ_BACKGROUND);
	add(1, 65536, 4096, LAZYMEM_READ_BACKGROUND);
	read = assert_next(LM_NBD_BACKGROUND, 4096, 0, 4096);
	lm_nbd_reads_hurry(&reads, &owns[0].read);
	assert_int_equal(lm_nbd_reads_role(&reads, read), LM_NBD_DEMAND);
	assert_next(LM_NBD_DEMAND, 4096, 4096, 4096);
	end(read, 0);
	end(read, 0);
	assert_int_equal(owns[0].completions, 1);
	assert_int_equal(reads.hurries, 1);
	end(assert_next(LM_NBD_BACKGROUND, 4096, 65536, 4096), 0);
}

static void what_was_asked_for_wholly_is_demand_when_asked_again(void **state)
{
	struct lm_nbd_read *read;

	(void)state;
	add(0, 0, 4096, LAZYMEM_READ_BACKGROUND);
	read = assert_next(LM_NBD_BACKGROUND, 4096, 0, 4096);
	lm_nbd_reads_hurry(&reads, &owns[0].read);
	assert_int_equal(lm_nbd_reads_role(&reads, read), LM_NBD_DEMAND);
	end(read, 0);
}

static void a_read_that_is_not_there_is_not_hurried(void **state)
{
	struct lazymem_read stranger = {.length = 1};

	(void)state;
	add(0, 0, 4096, LAZYMEM_READ_BACKGROUND);
	lm_nbd_reads_hurry(&reads, &stranger);
	assert_int_equal(reads.hurries, 0);
	end(assert_next(LM_NBD_BACKGROUND, 4096, 0, 4096), 0);
	lm_nbd_reads_hurry(&reads, &owns[0].read);
	assert_int_equal(reads.hurries, 0);
}

/* ---- waking -------------------------------------------------------------------------- */

static void the_thread_is_woken_once_and_only_when_it_sleeps(void **state)
{
	(void)state;
	add(0, 0, 4096, 0);
	reads.sleeps = true;
	add(1, 0, 4096, LAZYMEM_READ_BACKGROUND);
	assert_false(reads.sleeps);
	reads.sleeps = true;
	assert_true(lm_nbd_reads_hurry(&reads, &owns[1].read));
	assert_false(lm_nbd_reads_hurry(&reads, &owns[1].read));
	lm_nbd_reads_refuse(&reads, -EIO);
}

/* ---- errors ---------------------------------------------------------------------------- */

static void an_error_ends_a_read_once_nothing_of_it_is_under_way(void **state)
{
	struct lm_nbd_read *read;

	(void)state;
	add(0, 0, 16384, 0);
	read = assert_next(LM_NBD_DEMAND, 4096, 0, 4096);
	assert_next(LM_NBD_DEMAND, 4096, 4096, 4096);
	end(read, -EIO);
	assert_int_equal(owns[0].completions, 0);
	assert_none(LM_NBD_DEMAND); /* nothing more of it is asked for */
	end(read, -EPROTO);
	assert_int_equal(owns[0].completions, 1);
	assert_int_equal(owns[0].error, -EIO);
}

static void refusing_ends_what_waits_and_leaves_what_is_under_way(void **state)
{
	struct lm_nbd_read *read;

	(void)state;
	add(0, 0, 8192, 0);
	add(1, 0, 4096, LAZYMEM_READ_BACKGROUND);
	read = assert_next(LM_NBD_DEMAND, 4096, 0, 4096);
	lm_nbd_reads_refuse(&reads, -ENOTCONN);
	assert_int_equal(owns[0].completions, 0);
	assert_int_equal(owns[1].error, -ENOTCONN);
	add(2, 0, 4096, 0);
	assert_int_equal(owns[2].completions, 1);
	assert_int_equal(owns[2].error, -ENOTCONN);
	end(read, 0);
	assert_int_equal(owns[0].completions, 1);
	assert_int_equal(owns[0].error, -ENOTCONN);
	lm_nbd_reads_refuse(&reads, 0);
	add(3, 0, 4096, 0);
	end(assert_next(LM_NBD_DEMAND, 4096, 0, 4096), 0);
	assert_int_equal(owns[3].error, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_read_is_asked_for_in_pieces_and_completes_with_the_last),
		TEST(parts_go_side_by_side_into_the_buffer),
		TEST(roles_have_queues_of_their_own),
		TEST(the_rest_of_a_hurried_read_is_demand),
		TEST(what_was_asked_for_wholly_is_demand_when_asked_again),
		TEST(a_read_that_is_not_there_is_not_hurried),
		TEST(the_thread_is_woken_once_and_only_when_it_sleeps),
		TEST(an_error_ends_a_read_once_nothing_of_it_is_under_way),
		TEST(refusing_ends_what_waits_and_leaves_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
