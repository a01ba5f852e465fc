/* SPDX-License-Identifier: MIT
 *
 * tracking_lost_test.c - what was written is told, whatever becomes of the
 * mapping through which it was written, and of the page, before it is collected.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <support/actor.h>
#include <support/tracked.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a view's page table knew goes with it. */
static void test_a_write_through_a_view_is_told_after_the_view_has_gone(void **state)
{
	struct tracked f;
	unsigned char *view;

	tracked_begin(&f, state, 8, "d");
	view = map_view(&f, 0);
	for (size_t i = 0; i < 8; i++) {
		touch(view + i * f.guest.page);
		touch(tracked_page(&f, i));
	}
	is_told(&f, 0);
	expect_told(&f, 0, NULL);
	stamp(view + 3 * f.guest.page);
	unmap_view(&f, view);
	EXPECT_TOLD(&f, 3);
	expect_told(&f, 0, NULL);
	tracked_end(&f);
}

/* A part of it goes, and the rest goes on telling. */
static void test_a_write_through_a_view_that_is_cut_is_told(void **state)
{
	struct tracked f;
	unsigned char *view;

	tracked_begin(&f, state, 8, "d");
	view = map_view(&f, 0);
	for (size_t i = 0; i < 8; i++) {
		touch(view + i * f.guest.page);
		touch(tracked_page(&f, i));
	}
	is_told(&f, 0);
	stamp(view + 3 * f.guest.page);
	stamp(view + 4 * f.guest.page);
	assert_ok(lazymem_attachment_remove_view(f.guest.attachment, view + 3 * f.guest.page,
						 f.guest.page));
	assert_int_equal(munmap(view + 3 * f.guest.page, f.guest.page), 0);
	EXPECT_TOLD(&f, 3, 4);
	unmap_view(&f, view);
	expect_told(&f, 0, NULL);
	tracked_end(&f);
}

/* The page leaves the page table and comes back, as reclaim would have it. */
static void test_a_page_that_was_written_and_is_mapped_anew_is_told(void **state)
{
	struct tracked f;
	unsigned char *view;

	tracked_begin(&f, state, 8, "d");
	view = map_view(&f, 0);
	touch(view + 2 * f.guest.page);
	touch(view + 5 * f.guest.page);
	is_told(&f, 0);
	stamp(view + 2 * f.guest.page);
	assert_int_equal(madvise(view, f.guest.length, MADV_DONTNEED), 0);
	assert_int_equal(touch(view + 2 * f.guest.page), STAMP);
	touch(view + 5 * f.guest.page);
	assert_true(is_told(&f, 2));
	tracked_end(&f);
}

/* The same, with a second mapping, in which it is mapped along. */
static void test_a_page_that_is_mapped_anew_along_with_another_view_is_told(void **state)
{
	struct tracked f;
	unsigned char *first, *second;

	tracked_begin(&f, state, 8, "d");
	first = map_view(&f, 0);
	second = map_view(&f, 0);
	touch(first);
	is_told(&f, 0);
	stamp(second);
	assert_int_equal(madvise(second, f.guest.length, MADV_DONTNEED), 0);
	assert_int_equal(madvise(first, f.guest.length, MADV_DONTNEED), 0);
	touch(first);
	assert_true(is_told(&f, 0));
	unmap_view(&f, first);
	unmap_view(&f, second);
	tracked_end(&f);
}

/* ---- poison */

static void test_a_page_that_cannot_be_read_is_not_told(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 4, "d");
	source_fail(&f.source, f.guest.page, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(tracked_page(&f, 1)), SIGNALLED + SIGBUS);
	expect_told(&f, 0, NULL);
	expect_told(&f, 0, NULL);
	assert_int_equal(touch(tracked_page(&f, 1)), SIGNALLED + SIGBUS);
	tracked_end(&f);
}

/* To collect leaves something of the kernel's where no page is yet. */
static void test_a_page_that_cannot_be_read_is_poisoned_after_a_collect(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 4, "d");
	expect_told(&f, 0, NULL);
	source_fail(&f.source, f.guest.page, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(tracked_page(&f, 1)), SIGNALLED + SIGBUS);
	assert_int_equal(touch(tracked_page(&f, 1)), SIGNALLED + SIGBUS);
	expect_told(&f, 0, NULL);
	tracked_end(&f);
}

static void test_an_abort_after_a_collect_leaves_no_false_zeros(void **state)
{
	struct tracked f;
	unsigned char *view = NULL;

	tracked_begin(&f, state, 4, "d");
	if (memory_of(state) != ANONYMOUS)
		view = map_view(&f, 0);
	touch(tracked_page(&f, 0));
	is_told(&f, 0);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_true(image_matches(&f.image, 0, tracked_page(&f, 0), f.guest.page));
	assert_int_equal(touch(tracked_page(&f, 1)), SIGNALLED + SIGBUS);
	if (view != NULL)
		assert_int_equal(touch(view + f.guest.page), SIGNALLED + SIGBUS);
	tracked_end(&f);
}

/* ---- while others are at it */

#define ROUNDS (TEST_SANITIZED ? 1000u : 4000u) /* a race shows in fewer */

struct counter {
	struct tracked f;
	atomic_bool over;
	atomic_uint written; /* the last number that was written, after it was */
};

static int count_up(void *argument)
{
	struct counter *counter = argument;
	_Atomic unsigned *at = (void *)tracked_page(&counter->f, 0);

	for (unsigned i = 1; !atomic_load(&counter->over); i++) {
		atomic_store(at, i);
		atomic_store(&counter->written, i);
	}
	return 0;
}

/* Whoever copies what is told has all that was written before he asked. */
static void test_no_write_to_one_page_is_lost(void **state)
{
	struct counter counter = {.over = false};
	_Atomic unsigned *at;
	struct actor writer;
	unsigned copy = 0;

	tracked_begin(&counter.f, state, 2, "d");
	at = (void *)tracked_page(&counter.f, 0);
	atomic_store(at, 0);
	actor_start(&writer, count_up, &counter);
	for (unsigned i = 0; i < ROUNDS || atomic_load(&counter.written) < ROUNDS; i++) {
		const unsigned written = atomic_load(&counter.written);

		if (is_told(&counter.f, 0))
			copy = atomic_load(at);
		assert_true(copy >= written);
	}
	atomic_store(&counter.over, true);
	assert_int_equal(actor_join(&writer), 0);
	if (is_told(&counter.f, 0))
		copy = atomic_load(at);
	assert_int_equal(copy, atomic_load(at));
	tracked_end(&counter.f);
}

struct giver {
	struct tracked f;
	atomic_bool over;
	atomic_uint discards;
};

static int discard_and_write(void *argument)
{
	struct giver *giver = argument;
	struct tracked *f = &giver->f;

	while (!atomic_load(&giver->over)) {
		if (lazymem_mapping_discard(f->guest.mapping, 0, f->guest.length / 2) != 0)
			return 1;
		for (size_t page = 0; page < f->pages / 2; page += 16)
			stamp(tracked_page(f, page));
		atomic_fetch_add(&giver->discards, 1);
	}
	return 0;
}

/* What was told before it is gone is told again once it is. */
static void test_no_discard_is_lost_while_it_is_collected(void **state)
{
	struct giver giver = {.over = false};
	struct tracked *f = &giver.f;
	unsigned char copy[1024];
	struct actor actor;

	tracked_begin(f, state, 1024, "d");
	for (size_t page = 0; page < f->pages; page++)
		copy[page] = *tracked_page(f, page);
	is_told(f, 0);
	actor_start(&actor, discard_and_write, &giver);
	for (unsigned i = 0; i < 300; i++) {
		is_told(f, 0);
		for (size_t page = 0; page < f->pages; page++)
			if (lazymem_dirty_test(f->dirty, guest_address(page * PAGE)))
				copy[page] = *(volatile unsigned char *)tracked_page(f, page);
	}
	atomic_store(&giver.over, true);
	assert_int_equal(actor_join(&actor), 0);
	is_told(f, 0);
	for (size_t page = 0; page < f->pages; page++) {
		if (lazymem_dirty_test(f->dirty, guest_address(page * PAGE)))
			copy[page] = *tracked_page(f, page);
		if (copy[page] != *tracked_page(f, page))
			fail_msg("page %zu is 0x%x, and was last told as 0x%x", page,
				 *tracked_page(f, page), copy[page]);
	}
	tracked_end(f);
}

static int advise_away(void *argument)
{
	struct giver *giver = argument;
	struct tracked *f = &giver->f;

	while (!atomic_load(&giver->over)) {
		if (madvise(tracked_page(f, f->pages / 2), f->guest.page, MADV_DONTNEED) != 0)
			return 1;
		atomic_fetch_add(&giver->discards, 1);
		usleep(200); /* while an event is unread, nothing can be protected or populated */
	}
	return 0;
}

/* The worker, who reads the events, and whoever collects do not wait for each other. */
static void test_events_are_read_while_it_is_collected(void **state)
{
	struct giver giver = {.over = false};
	struct tracked *f = &giver.f;
	struct actor actors[2];

	tracked_begin(f, state, 8, "d");
	for (size_t i = 0; i < 2; i++)
		actor_start(&actors[i], advise_away, &giver);
	for (unsigned i = 0; i < ROUNDS; i++) {
		stamp(tracked_page(f, 1));
		assert_true(is_told(f, 1));
	}
	atomic_store(&giver.over, true);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	tracked_end(f);
}

static enum lazymem_verdict collect_in_a_callback(void *context,
						  const struct lazymem_failure *failure)
{
	struct tracked *f = context;

	(void)failure;
	__atomic_store_n(&f->pages,
			 (size_t)-lazymem_attachment_collect(f->guest.attachment, f->dirty),
			 __ATOMIC_RELEASE);
	return LAZYMEM_POISON;
}

static void test_a_callback_cannot_collect(void **state)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.tracking_most = tracking_of(state),
		.on_failure = collect_in_a_callback,
	};
	struct tracked f = {.pages = 0};

	options.context = &f;
	image_create(&f.image, 4 * PAGE, "d", 83);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, memory_of(state), 4 * PAGE, 0, f.source.backing);
	assert_ok(lazymem_dirty_create(f.guest.memory, &f.dirty));
	guest_attach(&f.guest, NULL, &options);
	source_fail(&f.source, 0, PAGE, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_int_equal(__atomic_load_n(&f.pages, __ATOMIC_ACQUIRE), EDEADLK);
	tracked_end(&f);
}

#define IN_EACH_SMALL_WAY(function)                                                                \
	TEST_NAMED(function, #function " (anonymous, kernel)",                                     \
		   WAY(ANONYMOUS, LAZYMEM_TRACKING_KERNEL)),                                       \
		TEST_NAMED(function, #function " (anonymous, faults)",                             \
			   WAY(ANONYMOUS, LAZYMEM_TRACKING_FAULTS)),                               \
		TEST_NAMED(function, #function " (memfd, kernel)",                                 \
			   WAY(MEMFD, LAZYMEM_TRACKING_KERNEL)),                                   \
		TEST_NAMED(function, #function " (memfd, faults)",                                 \
			   WAY(MEMFD, LAZYMEM_TRACKING_FAULTS))

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_SHARED_WAY(test_a_write_through_a_view_is_told_after_the_view_has_gone),
		IN_EACH_SHARED_WAY(test_a_write_through_a_view_that_is_cut_is_told),
		IN_EACH_SHARED_WAY(test_a_page_that_was_written_and_is_mapped_anew_is_told),
		IN_EACH_SHARED_WAY(test_a_page_that_is_mapped_anew_along_with_another_view_is_told),
		IN_EACH_WAY(test_a_page_that_cannot_be_read_is_not_told),
		IN_EACH_WAY(test_a_page_that_cannot_be_read_is_poisoned_after_a_collect),
		IN_EACH_WAY(test_an_abort_after_a_collect_leaves_no_false_zeros),
		IN_EACH_SMALL_WAY(test_no_write_to_one_page_is_lost),
		IN_EACH_SMALL_WAY(test_no_discard_is_lost_while_it_is_collected),
		IN_EACH_SMALL_WAY(test_events_are_read_while_it_is_collected),
		TEST_NAMED(test_a_callback_cannot_collect, "test_a_callback_cannot_collect",
			   WAY(ANONYMOUS, LAZYMEM_TRACKING_FAULTS)),
	};

	require_faults();
	require_hugetlb(BLOCK, 24);
	return run_group(tests);
}
