/* SPDX-License-Identifier: MIT
 *
 * two_threads_test.c - several threads on one page: one read, and every one
 * of them is woken.
 */
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (8 * MIB)
#define THREADS 8u

static bool all_have_faulted(void *argument)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(argument, &s));
	return s.faults >= THREADS;
}

static void test_threads_that_wait_for_one_page_share_its_read(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	struct actor actors[THREADS];

	image_create(&image, LENGTH, "d", 5);
	source_create(&source, &image);
	source_hold(&source, 0, LENGTH);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	for (unsigned i = 0; i < THREADS; i++)
		actor_start(&actors[i], touch, guest.host + 3);
	assert_true(await(all_have_faulted, guest.attachment));
	for (unsigned i = 0; i < THREADS; i++)
		assert_false(actor_is_done(&actors[i], 0));
	source_release(&source);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), image.bytes[3]);
	assert_int_equal(source_most_reads(&source, 0, guest.page), 1);
	struct lazymem_statistics s = statistics_at_rest(guest.attachment);
	assert_int_equal(s.coalesced, THREADS - 1);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

/* Threads that race through the same pages, with nothing held back. */
struct racer {
	struct guest *guest;
	const struct image *image;
};

static int race(void *argument)
{
	const struct racer *racer = argument;

	for (size_t at = 0; at < LENGTH; at += PAGE)
		if (racer->guest->host[at] != racer->image->bytes[at])
			return -1;
	return 0;
}

static void test_threads_that_race_through_the_same_pages_all_arrive(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;
	struct actor actors[THREADS];

	image_create(&image, LENGTH, "ddhd", 6);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), LENGTH, source.backing);
	struct racer racer = {&guest, &image};
	for (unsigned i = 0; i < THREADS; i++)
		actor_start(&actors[i], race, &racer);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	assert_int_equal(source_most_reads(&source, 0, LENGTH), 1);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_threads_that_wait_for_one_page_share_its_read),
		TEST_EACH_KIND(test_threads_that_race_through_the_same_pages_all_arrive),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
