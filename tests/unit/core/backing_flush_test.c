/* SPDX-License-Identifier: MIT
 *
 * backing_flush_test.c - flushes that are in flight together: when they
 * complete, and what they complete with.
 */
#include "model.h"

#include <lazymem/backing.h>
#include <pthread.h>
#include <stdatomic.h>

/* Flushes are ended by the tests. */
static void keep(void *object, struct lazymem_write *flush)
{
	(void)object;
	(void)flush;
}

static void read_nothing(void *object, struct lazymem_read *read)
{
	(void)object;
	lazymem_read_complete(read, 0);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations), .read = read_nothing, .write = keep, .flush = keep};

struct flush {
	struct lazymem_write write;
	unsigned completions;
	int error;
};

static struct lazymem_backing *backing;
static struct flush a, b, c;

static void note(struct lazymem_write *write, int error)
{
	struct flush *flush = (struct flush *)write;

	flush->completions++;
	flush->error = error;
}

static void begin(struct flush *flush)
{
	*flush = (struct flush){.write = {.complete = note}};
	lazymem_backing_submit_flush(backing, &flush->write);
}

static void end(struct flush *flush, int error)
{
	lazymem_write_complete(&flush->write, error);
}

static int set_up(void **state)
{
	(void)state;
	return lazymem_backing_create(&operations, NULL, 1, "x", &backing);
}

static int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(backing);
	return 0;
}

static void one_alone_completes_as_it_ends(void **state)
{
	(void)state;
	begin(&a);
	assert_int_equal(a.completions, 0);
	end(&a, 0);
	assert_int_equal(a.completions, 1);
	assert_int_equal(a.error, 0);
	begin(&a);
	end(&a, -EIO);
	assert_int_equal(a.completions, 1);
	assert_int_equal(a.error, -EIO);
	assert_int_equal(lazymem_backing_failed_flushes(backing), 1);
}

static void one_that_ended_waits_for_an_earlier_one(void **state)
{
	(void)state;
	begin(&a);
	begin(&b);
	end(&b, 0);
	assert_int_equal(b.completions, 0);
	end(&a, 0);
	assert_int_equal(a.completions, 1);
	assert_int_equal(b.completions, 1);
	assert_int_equal(b.error, 0);
}

static void one_that_ended_waits_for_a_later_one_that_overlapped_it(void **state)
{
	(void)state;
	begin(&a);
	begin(&b);
	end(&a, 0);
	assert_int_equal(a.completions, 0);
	end(&b, -ENOSPC);
	assert_int_equal(a.completions, 1);
	assert_int_equal(a.error, -ENOSPC);
	assert_int_equal(b.error, -ENOSPC);
}

static void one_that_began_after_it_ended_does_not_hold_it_up(void **state)
{
	(void)state;
	begin(&a);
	begin(&b);
	end(&b, 0);
	begin(&c);
	end(&a, 0);
	assert_int_equal(a.completions, 0); /* c began before a ended */
	assert_int_equal(b.completions, 1);
	end(&c, 0);
	assert_int_equal(a.completions, 1);
	assert_int_equal(c.completions, 1);
}

static void a_failure_takes_all_that_overlapped_with_it(void **state)
{
	(void)state;
	begin(&a);
	begin(&b);
	begin(&c);
	end(&c, 0);
	end(&a, -EIO);
	assert_int_equal(a.error, -EIO);
	assert_int_equal(c.completions, 1);
	assert_int_equal(c.error, -EIO);
	assert_int_equal(b.completions, 0);
	end(&b, 0); /* it ends well, and cannot know */
	assert_int_equal(b.completions, 1);
	assert_int_equal(b.error, -EIO);
	assert_int_equal(lazymem_backing_failed_flushes(backing), 1);
}

static void one_that_begins_after_a_failure_is_free_of_it(void **state)
{
	(void)state;
	begin(&a);
	end(&a, -EIO);
	begin(&b);
	end(&b, 0);
	assert_int_equal(b.error, 0);
	assert_int_equal(lazymem_backing_failed_flushes(backing), 1);
}

/* ---- threads ------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 2000 };

/* Tells of each lost write once, to whoever asks first. */
static atomic_int lost;

static void ask(void *object, struct lazymem_write *flush)
{
	(void)object;
	lazymem_write_complete(flush, atomic_exchange(&lost, 0));
}

static void lose_some(void *object, struct lazymem_write *write)
{
	(void)object;
	if (write->offset != 0)
		atomic_store(&lost, -EIO);
	lazymem_write_complete(write, 0);
}

static const struct lazymem_backing_operations forgetful = {
	.size = sizeof(forgetful), .read = read_nothing, .write = lose_some, .flush = ask};

static void *write_and_flush(void *argument)
{
	uintptr_t missed = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		const uint64_t failures = lazymem_backing_failed_flushes(backing);
		const bool is_lost = (i + (uintptr_t)argument) % 7 == 0;
		const char byte = 0;

		if (lazymem_backing_write(backing, is_lost, &byte, 1) != 0)
			return (void *)UINTPTR_MAX;
		if (lazymem_backing_flush(backing) == 0 && is_lost &&
		    lazymem_backing_failed_flushes(backing) == failures)
			missed++;
	}
	return (void *)missed;
}

static void nobody_who_asks_misses_a_lost_write(void **state)
{
	pthread_t threads[THREADS];
	void *missed;

	(void)state;
	lazymem_backing_unref(backing);
	assert_int_equal(lazymem_backing_create(&forgetful, NULL, 2, "x", &backing), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, write_and_flush, (void *)i);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &missed);
		assert_int_equal((uintptr_t)missed, 0);
	}
	assert_true(lazymem_backing_failed_flushes(backing) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_alone_completes_as_it_ends),
		TEST(one_that_ended_waits_for_an_earlier_one),
		TEST(one_that_ended_waits_for_a_later_one_that_overlapped_it),
		TEST(one_that_began_after_it_ended_does_not_hold_it_up),
		TEST(a_failure_takes_all_that_overlapped_with_it),
		TEST(one_that_begins_after_a_failure_is_free_of_it),
		TEST(nobody_who_asks_misses_a_lost_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
