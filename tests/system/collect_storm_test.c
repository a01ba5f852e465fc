/* SPDX-License-Identifier: MIT
 *
 * collect_storm_test.c - threads that discard without pause keep the layout of
 * the address space changing, and while it changes no page can be protected. A
 * collect ends nevertheless, and tells everything.
 */
#include <stdatomic.h>
#include <support/actor.h>
#include <support/tracked.h>
#include <sys/mman.h>

#define PAGES 4096u
#define WRITTEN 64u /* from this page on; those below are discarded */
#define THREADS 2u
#define COLLECTS 5u

/* Thousands go by during a collect; without an end to its tries, millions. */
#define DISCARDS_MOST 500000u

struct storm {
	struct tracked f;
	atomic_bool over;
	atomic_ulong discards;
};

struct discarder {
	struct storm *storm;
	uint64_t seed;
};

static int discard_until_over(void *argument)
{
	struct discarder *discarder = argument;
	struct tracked *f = &discarder->storm->f;

	while (!atomic_load(&discarder->storm->over)) {
		const size_t page = next_random(&discarder->seed) % WRITTEN;

		if (madvise(tracked_page(f, page), f->guest.page, MADV_DONTNEED) != 0)
			return -1;
		atomic_fetch_add(&discarder->storm->discards, 1);
	}
	return 0;
}

static bool has_begun(void *argument)
{
	struct storm *storm = argument;

	return atomic_load(&storm->discards) > 100;
}

static void expect_written_pages_told(struct storm *storm)
{
	const unsigned long before = atomic_load(&storm->discards);
	struct tracked *f = &storm->f;

	lazymem_dirty_clear(f->dirty);
	assert_ok(lazymem_attachment_collect(f->guest.attachment, f->dirty));
	assert_true(atomic_load(&storm->discards) - before < DISCARDS_MOST);
	for (size_t page = WRITTEN; page < PAGES; page++)
		assert_true(lazymem_dirty_test(f->dirty, guest_address(page * f->guest.page)));
}

static void test_a_collect_ends_while_threads_discard_without_pause(void **state)
{
	struct storm storm = {.over = false};
	struct discarder discarders[THREADS];
	struct actor actors[THREADS];
	uint64_t seed = harness_seed();

	tracked_begin(&storm.f, state, PAGES, "d");
	guest_prefetch(&storm.f.guest, 0, 0);
	for (size_t page = WRITTEN; page < PAGES; page++)
		stamp(tracked_page(&storm.f, page));
	for (unsigned i = 0; i < THREADS; i++) {
		discarders[i] = (struct discarder){&storm, seed + i};
		actor_start(&actors[i], discard_until_over, &discarders[i]);
	}
	assert_true(await(has_begun, &storm));
	expect_written_pages_told(&storm);
	for (unsigned i = 1; i < COLLECTS; i++)
		is_told(&storm.f, 0);
	atomic_store(&storm.over, true);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	is_told(&storm.f, 0);              /* what the storm kept from being protected */
	if (memory_of(state) == ANONYMOUS) /* of a memfd, only its mapping was discarded */
		expect_told(&storm.f, 0, NULL);
	tracked_end(&storm.f);
}

#define IN_WAY(kind, label, tracking)                                                              \
	TEST_NAMED(test_a_collect_ends_while_threads_discard_without_pause, label,                 \
		   WAY(kind, tracking))

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_WAY(ANONYMOUS, "a collect ends during discards (anonymous, kernel)",
		       LAZYMEM_TRACKING_KERNEL),
		IN_WAY(ANONYMOUS, "a collect ends during discards (anonymous, faults)",
		       LAZYMEM_TRACKING_FAULTS),
		IN_WAY(MEMFD, "a collect ends during discards (memfd, kernel)",
		       LAZYMEM_TRACKING_KERNEL),
		IN_WAY(MEMFD, "a collect ends during discards (memfd, faults)",
		       LAZYMEM_TRACKING_FAULTS),
	};

	require_faults();
	return run_group(tests);
}
