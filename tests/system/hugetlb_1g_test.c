/* SPDX-License-Identifier: MIT
 *
 * hugetlb_1g_test.c - a page of 1 GiB is one page: one fault brings it whole.
 */
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

/* How far apart the pages are that are looked at. */
#define STRIDE (TEST_SANITIZED ? 61 * PAGE : PAGE)

static void test_one_touch_brings_the_whole_page(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, GIB, "dhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh", 3);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), GIB, source.backing);
	assert_true(image_matches(&image, GIB / 2, guest.host + GIB / 2, PAGE));
	struct lazymem_statistics s = statistics_at_rest(guest.attachment);
	assert_int_equal(s.faults, 1);
	assert_int_equal(s.pages_total, 1);
	for (size_t at = 0; at < GIB; at += STRIDE)
		assert_true(image_matches(&image, at, guest.host + at, PAGE));
	assert_int_equal(statistics_at_rest(guest.attachment).faults, 1);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

static void test_a_discarded_page_is_zero(void **state)
{
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, GIB, "dhhhhhhhhhhhhhhh", 4);
	source_create(&source, &image);
	guest_start(&guest, kind_of(state), GIB, source.backing);
	assert_int_equal(touch(guest.host), image.bytes[0]);
	assert_ok(lazymem_memory_discard(guest.memory, guest_address(0), GIB));
	for (size_t at = 0; at < GIB; at += STRIDE)
		assert_true(all_zero(guest.host + at, PAGE));
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
}

#define TEST_1G(function) TEST_NAMED(function, #function, HUGETLB_1G)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_1G(test_one_touch_brings_the_whole_page),
		TEST_1G(test_a_discarded_page_is_zero),
	};

	require_faults();
	require_hugetlb(GIB, 1);
	return run_group(tests);
}
