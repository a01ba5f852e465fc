/* SPDX-License-Identifier: MIT
 *
 * abort_test.c - letting go in the middle: what is there stays, what is not
 * raises SIGBUS, and nothing ever reads as a zero it is not.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define LENGTH (16 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, unsigned flags)
{
	image_create(&f->image, LENGTH, "dddhhzdd", 15);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, flags, f->source.backing);
	guest_attach(&f->guest, NULL, NULL);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void let_go(struct fixture *f)
{
	lazymem_attachment_abort(f->guest.attachment);
	f->guest.attachment = NULL;
}

/* Every page reads as the image says or raises SIGBUS. Returns how many raise. */
static size_t honest_pages(struct fixture *f)
{
	size_t raised = 0;

	for (size_t at = 0; at < LENGTH; at += PAGE) {
		int byte = touch(f->guest.host + at);

		if (byte == SIGNALLED + SIGBUS)
			raised++;
		else
			assert_true(image_matches(&f->image, at, f->guest.host + at, PAGE));
	}
	return raised;
}

static void test_present_pages_stay_and_missing_ones_raise_sigbus(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	touch(f.guest.host);
	touch(f.guest.host + 4 * BLOCK);
	let_go(&f);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	assert_true(image_matches(&f.image, 4 * BLOCK, f.guest.host + 4 * BLOCK, f.guest.page));
	assert_int_equal(touch(f.guest.host + BLOCK), SIGNALLED + SIGBUS);
	assert_true(honest_pages(&f) > 0);
	end(&f);
}

static void test_holes_read_as_zeros_after_an_abort(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	let_go(&f);
	assert_int_equal(touch(f.guest.host + 3 * PAGE), 0);
	assert_int_equal(touch(f.guest.host + 4 * PAGE), 0);
	end(&f);
}

static void test_nothing_is_registered_after_an_abort(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	let_go(&f);
	assert_false(is_registered(f.guest.host, LENGTH));
	end(&f);
}

static void test_a_system_call_fails_with_efault_after_an_abort(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	let_go(&f);
	assert_int_equal(call_reading(f.guest.host), -EFAULT);
	end(&f);
}

static int read_everything(void *argument)
{
	struct fixture *f = argument;

	for (size_t at = 0; at < LENGTH; at += PAGE) {
		int byte = touch(f->guest.host + at);

		if (byte != f->image.bytes[at] && byte != SIGNALLED + SIGBUS)
			return -1;
	}
	return 0;
}

static void test_no_thread_reads_a_false_zero_while_aborting(void **state)
{
	for (unsigned round = 0; round < 10; round++) {
		struct fixture f;
		struct actor actors[3];

		begin(&f, kind_of(state), 0);
		assert_ok(lazymem_attachment_prefetch(f.guest.attachment, NULL));
		for (unsigned i = 0; i < 3; i++)
			actor_start(&actors[i], read_everything, &f);
		touch(f.guest.host + round * MIB);
		let_go(&f);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(actor_join(&actors[i]), 0);
		honest_pages(&f);
		end(&f);
	}
}

static int abort_it(void *argument)
{
	let_go(argument);
	return 0;
}

static void test_a_thread_that_waits_for_a_read_is_not_left_hanging(void **state)
{
	struct fixture f;
	struct actor waiter, aborter;

	begin(&f, kind_of(state), 0);
	source_hold(&f.source, 0, f.guest.page);
	actor_start(&waiter, touch, f.guest.host + 1);
	assert_true(source_await_held(&f.source, 1));
	actor_start(&aborter, abort_it, &f);
	assert_false(actor_is_done(&aborter, QUIET_MS)); /* it waits for reads in flight */
	source_release(&f.source);
	assert_int_equal(actor_join(&aborter), 0);
	int byte = actor_join(&waiter);
	assert_true(byte == f.image.bytes[1] || byte == SIGNALLED + SIGBUS);
	end(&f);
}

/* The kernel may make huge pages of advised memory at any time: poison and
 * all, if it is let. */
static void test_a_collapse_after_an_abort_makes_no_false_zeros(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), LAZYMEM_MAPPING_HUGEPAGES);
	guest_prefetch(&f.guest, 0, BLOCK - PAGE);
	let_go(&f);
	assert_int_equal(touch(f.guest.host + BLOCK - PAGE), SIGNALLED + SIGBUS);
	madvise(f.guest.host, LENGTH, MADV_COLLAPSE);
	assert_int_equal(touch(f.guest.host + BLOCK - PAGE), SIGNALLED + SIGBUS);
	assert_int_equal(touch(f.guest.host + BLOCK), SIGNALLED + SIGBUS);
	assert_true(honest_pages(&f) > 0);
	end(&f);
}

static void test_discarded_pages_read_as_zeros_after_an_abort(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	assert_ok(lazymem_memory_discard(f.guest.memory, guest_address(0), f.guest.page));
	let_go(&f);
	assert_int_equal(touch(f.guest.host), 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_present_pages_stay_and_missing_ones_raise_sigbus),
		TEST_NAMED(test_holes_read_as_zeros_after_an_abort, "holes (anonymous)", ANONYMOUS),
		TEST_NAMED(test_holes_read_as_zeros_after_an_abort, "holes (memfd)", MEMFD),
		TEST_EACH_KIND(test_nothing_is_registered_after_an_abort),
		TEST_EACH_KIND(test_a_system_call_fails_with_efault_after_an_abort),
		TEST_EACH_KIND(test_no_thread_reads_a_false_zero_while_aborting),
		TEST_EACH_KIND(test_a_thread_that_waits_for_a_read_is_not_left_hanging),
		TEST_NAMED(test_a_collapse_after_an_abort_makes_no_false_zeros,
			   "collapse after abort (anonymous)", ANONYMOUS),
		TEST_NAMED(test_a_collapse_after_an_abort_makes_no_false_zeros,
			   "collapse after abort (memfd)", MEMFD),
		TEST_EACH_KIND(test_discarded_pages_read_as_zeros_after_an_abort),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
