/* SPDX-License-Identifier: MIT
 *
 * discard_storm_test.c - threads give pages back while everything is being
 * filled in the background; then every page is looked at.
 */
#include <lazymem/file.h>
#include <lazymem/inject.h>
#include <stdlib.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>

#define LENGTH (32 * MIB)
#define THREADS 3u

struct storm {
	struct guest *guest;
	unsigned char *discarded; /* by page; each thread has its own share of the pages */
	uint64_t seed;
	unsigned share;
	bool by_madvise;
	bool touching;
};

static bool is_filling(struct storm *storm)
{
	return lazymem_attachment_wait(storm->guest->attachment, 0) != 0;
}

/* As long as the fill lasts, and a little longer. */
static int rage(void *argument)
{
	struct storm *storm = argument;
	size_t page = storm->guest->page, share = LENGTH / page / THREADS;
	uint64_t seed = storm->seed;

	for (unsigned calm = 0; calm < 50; calm += !is_filling(storm)) {
		size_t at = next_random(&seed) % share * THREADS + storm->share;

		if (next_random(&seed) % 4 != 0) {
			if (storm->touching)
				*(volatile unsigned char *)(storm->guest->host + at * page);
			continue;
		}
		int result = storm->by_madvise
				     ? madvise(storm->guest->host + at * page, page, MADV_DONTNEED)
				     : lazymem_memory_discard(storm->guest->memory,
							      guest_address(at * page), page);
		if (result != 0)
			return result;
		storm->discarded[at] = 1;
	}
	return 0;
}

static void check_pages(const struct image *image, struct guest *guest,
			const unsigned char *discarded)
{
	for (size_t at = 0; at < LENGTH / guest->page; at++) {
		const unsigned char *memory = guest->host + at * guest->page;

		if (discarded[at])
			assert_true(all_zero(memory, guest->page));
		else
			assert_true(image_matches(image, at * guest->page, memory, guest->page));
	}
}

static void weather(void **state, bool by_madvise, bool touching)
{
	struct image image;
	struct lazymem_backing *file, *slow;
	struct guest guest;
	struct storm storms[THREADS];
	struct actor actors[THREADS];
	struct lazymem_inject_range all = {0};
	uint64_t seed = harness_seed();

	image_create(&image, LENGTH, "dddh", 9);
	assert_ok(lazymem_file_open(image_write(&image, "storm"), NULL, &file));
	assert_ok(lazymem_inject_delay(file, all, MILLISECONDS(1), &slow));
	guest_start(&guest, kind_of(state), LENGTH, slow);
	unsigned char *discarded = calloc(LENGTH / guest.page, 1);
	struct lazymem_prefetch fill = {.size = sizeof(fill), .bytes_per_second = LENGTH};
	assert_ok(lazymem_attachment_prefetch(guest.attachment, &fill));
	for (unsigned i = 0; i < THREADS; i++) {
		storms[i] = (struct storm){&guest, discarded,  next_random(&seed),
					   i,      by_madvise, touching};
		actor_start(&actors[i], rage, &storms[i]);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	assert_ok(lazymem_attachment_wait(guest.attachment, SOON_NS));
	check_pages(&image, &guest, discarded);
	guest_finish(&guest);
	check_pages(&image, &guest, discarded);
	guest_end(&guest);
	free(discarded);
	lazymem_backing_unref(slow);
	lazymem_backing_unref(file);
	image_destroy(&image);
}

static void test_discards_win_against_a_background_fill(void **state)
{
	weather(state, false, false);
}

static void test_discards_win_against_a_fill_and_touches(void **state)
{
	weather(state, false, true);
}

static void test_dontneed_by_threads_wins_against_a_fill_and_touches(void **state)
{
	weather(state, true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_discards_win_against_a_background_fill),
		TEST_EACH_KIND(test_discards_win_against_a_fill_and_touches),
		TEST(test_dontneed_by_threads_wins_against_a_fill_and_touches),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
