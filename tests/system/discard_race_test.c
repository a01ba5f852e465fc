/* SPDX-License-Identifier: MIT
 *
 * discard_race_test.c - one thread uses a page while another one gives it
 * back, again and again: every access ends, with zeros or with what was
 * written since.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (8 * MIB)
#define ROUNDS (TEST_SANITIZED ? 2000u : 10000u)

struct duel {
	struct image image;
	struct source source;
	struct guest guest;
	atomic_bool over;
};

static void begin(struct duel *d, enum memory_kind kind)
{
	image_create(&d->image, LENGTH, "d", 16);
	source_create(&d->source, &d->image);
	guest_start(&d->guest, kind, LENGTH, d->source.backing);
	atomic_store(&d->over, false);
}

static void end(struct duel *d)
{
	guest_end(&d->guest);
	source_destroy(&d->source);
	image_destroy(&d->image);
}

/* The page was discarded once: from now on it is zero. */
static int read_until_over(void *argument)
{
	struct duel *d = argument;

	while (!atomic_load(&d->over)) {
		int byte = touch(d->guest.host + 1);

		if (byte != 0)
			return byte;
	}
	return 0;
}

static int write_until_over(void *argument)
{
	struct duel *d = argument;

	while (!atomic_load(&d->over)) {
		int byte = stamp(d->guest.host + 1);

		if (byte != STAMP)
			return byte;
		byte = touch(d->guest.host + 2);
		if (byte != 0)
			return byte;
	}
	return 0;
}

static void fight(void **state, int (*opponent)(void *argument))
{
	struct duel d;
	struct actor actors[2];

	begin(&d, kind_of(state));
	assert_ok(lazymem_memory_discard(d.guest.memory, guest_address(0), d.guest.page));
	actor_start(&actors[0], opponent, &d);
	actor_start(&actors[1], opponent, &d);
	for (unsigned i = 0; i < ROUNDS / (d.guest.page > PAGE ? 10 : 1); i++) {
		assert_ok(lazymem_memory_discard(d.guest.memory, guest_address(0), d.guest.page));
		assert_int_equal(touch(d.guest.host + 3), 0);
	}
	atomic_store(&d.over, true);
	assert_int_equal(actor_join(&actors[0]), 0);
	assert_int_equal(actor_join(&actors[1]), 0);
	assert_ok(lazymem_memory_discard(d.guest.memory, guest_address(0), d.guest.page));
	assert_true(all_zero(d.guest.host, d.guest.page));
	assert_int_equal(statistics_at_rest(d.guest.attachment).failed, 0);
	end(&d);
}

static void test_reads_of_a_page_that_is_being_discarded_end_with_zeros(void **state)
{
	fight(state, read_until_over);
}

static void test_writes_to_a_page_that_is_being_discarded_end(void **state)
{
	fight(state, write_until_over);
}

/* A balloon in another process punches the file itself: no event tells. */
static void test_a_present_page_punched_behind_our_back_reads_zeros(void **state)
{
	struct duel d;
	uint64_t offset;
	int fd;

	begin(&d, kind_of(state));
	assert_true(image_matches(&d.image, 0, d.guest.host, d.guest.page));
	assert_ok(lazymem_mapping_fd(d.guest.mapping, &fd, &offset));
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				   (off_t)d.guest.page),
			 0);
	assert_int_equal(touch(d.guest.host + 1), 0);
	assert_true(all_zero(d.guest.host, d.guest.page));
	end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_reads_of_a_page_that_is_being_discarded_end_with_zeros),
		TEST_EACH_KIND(test_writes_to_a_page_that_is_being_discarded_end),
		TEST_NAMED(test_a_present_page_punched_behind_our_back_reads_zeros,
			   "a present page punched behind our back (memfd)", MEMFD),
		TEST_NAMED(test_a_present_page_punched_behind_our_back_reads_zeros,
			   "a present page punched behind our back (hugetlb)", HUGETLB),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
