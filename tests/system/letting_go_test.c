/* SPDX-License-Identifier: MIT
 *
 * letting_go_test.c - finish and abort while other threads go on: with
 * prefetches, with faults that wait for a slot, and before and after the
 * attachment is there.
 */
#include <lazymem/zero.h>
#include <signal.h>
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	atomic_bool stop;
	atomic_uint asked;
};

static void begin(struct fixture *f, enum memory_kind kind, const char *layout, unsigned flags)
{
	atomic_init(&f->stop, false);
	atomic_init(&f->asked, 0);
	image_create(&f->image, LENGTH, layout, 33);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, flags, f->source.backing);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static int prefetch_on_and_on(void *argument)
{
	struct fixture *f = argument;

	while (!atomic_load(&f->stop)) {
		if (lazymem_mapping_prefetch(f->guest.mapping, 0, PAGE) != 0)
			return -1;
		atomic_fetch_add(&f->asked, 1);
	}
	return 0;
}

static bool has_asked(void *argument)
{
	return atomic_load((atomic_uint *)argument) > 0;
}

/* A prefetch through the mapping may come until the mapping is detached, which
 * is later than the worker lets go. */
static void race_a_prefetch(enum memory_kind kind, bool finishes)
{
	for (unsigned round = 0; round < 20; round++) {
		struct fixture f;
		struct actor actors[2];

		begin(&f, kind, "d", LAZYMEM_MAPPING_HUGEPAGES);
		guest_attach(&f.guest, NULL, NULL);
		for (unsigned i = 0; i < 2; i++)
			actor_start(&actors[i], prefetch_on_and_on, &f);
		assert_true(await(has_asked, &f.asked));
		if (finishes)
			assert_ok(lazymem_attachment_finish(f.guest.attachment));
		else
			lazymem_attachment_abort(f.guest.attachment);
		f.guest.attachment = NULL;
		atomic_store(&f.stop, true);
		for (unsigned i = 0; i < 2; i++)
			assert_int_equal(actor_join(&actors[i]), 0);
		end(&f);
	}
}

static void test_prefetches_race_a_finish(void **state)
{
	race_a_prefetch(kind_of(state), true);
}

static void test_prefetches_race_an_abort(void **state)
{
	race_a_prefetch(kind_of(state), false);
}

static int prefetch_and_discard(void *argument)
{
	struct fixture *f = argument;

	while (!atomic_load(&f->stop)) {
		if (lazymem_mapping_prefetch(f->guest.mapping, 0, BLOCK) != 0 ||
		    lazymem_mapping_discard(f->guest.mapping, 0, BLOCK) != 0)
			return -1;
		atomic_fetch_add(&f->asked, 1);
	}
	return 0;
}

/* Attaching takes its time for much memory, and the mapping is in use before. */
static void test_a_mapping_can_be_used_while_it_is_attached(void **state)
{
	struct fixture f = {.stop = false};
	struct lazymem_backing *zeros;
	struct actor actor;

	assert_ok(lazymem_zero_create(16 * GIB, &zeros));
	for (unsigned round = 0; round < 5; round++) {
		atomic_store(&f.stop, false);
		atomic_store(&f.asked, 0);
		guest_map(&f.guest, kind_of(state), 16 * GIB, 0, zeros);
		actor_start(&actor, prefetch_and_discard, &f);
		assert_true(await(has_asked, &f.asked));
		guest_attach(&f.guest, NULL, NULL);
		assert_int_equal(touch(f.guest.host + GIB), 0);
		atomic_store(&f.stop, true);
		assert_int_equal(actor_join(&actor), 0);
		guest_end(&f.guest);
	}
	lazymem_backing_unref(zeros);
}

static int finish(void *argument)
{
	return lazymem_attachment_finish(argument);
}

static int abort_it(void *argument)
{
	lazymem_attachment_abort(argument);
	return 0;
}

static bool two_have_faulted(void *argument)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(argument, &s));
	return s.faults >= 2;
}

/* The only slot is taken when a fault in a hole arrives: it is served in the
 * round that frees the slot, and that is the last thing that happens. */
static void settle_with_one_slot(enum memory_kind kind, int (*settle)(void *))
{
	struct lazymem_handler_options options = {.size = sizeof(options), .demand_depth = 1};
	struct fixture f;
	struct actor slow, hole, owner;

	begin(&f, kind, "dhhhhhhhhhhhhhhh", 0);
	guest_attach(&f.guest, &options, NULL);
	source_hold(&f.source, 0, PAGE);
	actor_start(&slow, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	actor_start(&hole, touch, f.guest.host + 4 * PAGE);
	assert_true(await(two_have_faulted, f.guest.attachment));
	actor_start(&owner, settle, f.guest.attachment);
	assert_false(actor_is_done(&owner, QUIET_MS));
	source_release(&f.source);
	assert_int_equal(actor_join(&owner), 0);
	f.guest.attachment = NULL;
	assert_int_equal(actor_join(&slow), f.image.bytes[0]);
	assert_int_equal(actor_join(&hole), 0);
	end(&f);
}

static void test_a_finish_sees_the_last_fault_end(void **state)
{
	settle_with_one_slot(kind_of(state), finish);
}

static void test_an_abort_sees_the_last_fault_end(void **state)
{
	settle_with_one_slot(kind_of(state), abort_it);
}

/* "Abort, mend the source, attach again". */
static void test_memory_can_be_attached_again_after_an_abort(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", 0);
	guest_attach(&f.guest, NULL, NULL);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_ok(
		lazymem_handler_attach(f.guest.handler, f.guest.memory, NULL, &f.guest.attachment));
	assert_int_equal(touch(f.guest.host), f.image.bytes[0]);
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

#define BOTH(function)                                                                             \
	TEST_NAMED(function, #function " (anonymous)", ANONYMOUS),                                 \
		TEST_NAMED(function, #function " (memfd)", MEMFD)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(test_prefetches_race_a_finish),
		BOTH(test_prefetches_race_an_abort),
		BOTH(test_a_mapping_can_be_used_while_it_is_attached),
		BOTH(test_a_finish_sees_the_last_fault_end),
		BOTH(test_an_abort_sees_the_last_fault_end),
		TEST_EACH_KIND(test_memory_can_be_attached_again_after_an_abort),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
