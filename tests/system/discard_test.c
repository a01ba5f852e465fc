/* SPDX-License-Identifier: MIT
 *
 * discard_test.c - a page given back is zero afterwards, whatever state it
 * was in, and never the bytes of its source again.
 */
#include <errno.h>
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind)
{
	image_create(&f->image, LENGTH, "d", 8);
	source_create(&f->source, &f->image);
	guest_start(&f->guest, kind, LENGTH, f->source.backing);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void discard(struct fixture *f, uint64_t start, uint64_t length)
{
	assert_ok(lazymem_memory_discard(f->guest.memory, guest_address(start), length));
}

static void test_a_missing_page_is_zero_after_a_discard(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	discard(&f, 0, f.guest.page);
	assert_true(all_zero(f.guest.host, f.guest.page));
	assert_int_equal(source_reads(&f.source), 0);
	end(&f);
}

static void test_a_present_page_is_zero_after_a_discard(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	discard(&f, 0, f.guest.page);
	assert_true(all_zero(f.guest.host, f.guest.page));
	end(&f);
}

static void test_a_discard_takes_its_range_and_no_more(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	size_t page = f.guest.page;
	discard(&f, page, page);
	assert_true(image_matches(&f.image, 0, f.guest.host, page));
	assert_true(all_zero(f.guest.host + page, page));
	assert_true(image_matches(&f.image, 2 * page, f.guest.host + 2 * page, page));
	end(&f);
}

static void test_a_discard_wins_over_a_read_in_flight(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state));
	source_hold(&f.source, 0, f.guest.page);
	actor_start(&actor, touch, f.guest.host + 1);
	assert_true(source_await_held(&f.source, 1));
	discard(&f, 0, f.guest.page);
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), 0);
	assert_true(all_zero(f.guest.host, f.guest.page));
	end(&f);
}

/* The discarded page needs no read, so its waiter need not wait for one either. */
static void test_a_thread_that_waits_gets_zeros_before_the_read_ends(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state));
	source_hold(&f.source, 0, f.guest.page);
	actor_start(&actor, touch, f.guest.host + 1);
	assert_true(source_await_held(&f.source, 1));
	discard(&f, 0, f.guest.page);
	assert_int_equal(touch(f.guest.host + 2), 0);
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), 0);
	end(&f);
}

static void test_a_poisoned_page_is_zero_after_a_discard(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	discard(&f, 0, f.guest.page);
	assert_int_equal(touch(f.guest.host), 0);
	assert_true(all_zero(f.guest.host, f.guest.page));
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	end(&f);
}

static void test_a_write_after_a_discard_stays(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	touch(f.guest.host);
	discard(&f, 0, f.guest.page);
	assert_int_equal(stamp(f.guest.host + 9), STAMP);
	guest_prefetch(&f.guest, 0, 0);
	assert_int_equal(f.guest.host[9], STAMP);
	assert_true(all_zero(f.guest.host, 9));
	end(&f);
}

static void test_a_prefetch_of_everything_leaves_discarded_pages_zero(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	size_t page = f.guest.page;
	discard(&f, page, 2 * page);
	guest_prefetch(&f.guest, 0, 0);
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, page));
	assert_true(all_zero(f.guest.host + page, 2 * page));
	assert_true(image_matches(&f.image, 3 * page, f.guest.host + 3 * page, LENGTH - 3 * page));
	end(&f);
}

static void test_discarded_pages_are_counted(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	discard(&f, 0, 2 * f.guest.page);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_discarded, 2);
	end(&f);
}

static void test_a_discard_gives_memory_back(void **state)
{
	struct fixture f;
	uint64_t resident;

	begin(&f, kind_of(state));
	guest_prefetch(&f.guest, 0, 0);
	discard(&f, 0, LENGTH);
	assert_ok(lazymem_memory_resident(f.guest.memory, guest_address(0), LENGTH, &resident));
	assert_int_equal(resident, 0);
	end(&f);
}

static int advise_dontneed(void *argument)
{
	return madvise(argument, PAGE, MADV_DONTNEED);
}

static void test_dontneed_of_a_missing_page_by_another_thread_reads_zeros(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state));
	actor_start(&actor, advise_dontneed, f.guest.host);
	assert_int_equal(actor_join(&actor), 0);
	assert_true(all_zero(f.guest.host, PAGE));
	assert_true(image_matches(&f.image, PAGE, f.guest.host + PAGE, PAGE));
	end(&f);
}

static void test_dontneed_of_a_present_page_by_another_thread_reads_zeros(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state));
	assert_true(image_matches(&f.image, 0, f.guest.host, PAGE));
	actor_start(&actor, advise_dontneed, f.guest.host);
	assert_int_equal(actor_join(&actor), 0);
	assert_true(all_zero(f.guest.host, PAGE));
	end(&f);
}

static void test_dontneed_during_a_read_in_flight_reads_zeros(void **state)
{
	struct fixture f;
	struct actor reader, adviser;

	begin(&f, kind_of(state));
	source_hold(&f.source, 0, PAGE);
	actor_start(&reader, touch, f.guest.host + 1);
	assert_true(source_await_held(&f.source, 1));
	actor_start(&adviser, advise_dontneed, f.guest.host);
	assert_int_equal(actor_join(&adviser), 0);
	source_release(&f.source);
	assert_int_equal(actor_join(&reader), 0);
	assert_true(all_zero(f.guest.host, PAGE));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_missing_page_is_zero_after_a_discard),
		TEST_EACH_KIND(test_a_present_page_is_zero_after_a_discard),
		TEST_EACH_KIND(test_a_discard_takes_its_range_and_no_more),
		TEST_EACH_KIND(test_a_discard_wins_over_a_read_in_flight),
		TEST_EACH_KIND(test_a_thread_that_waits_gets_zeros_before_the_read_ends),
		TEST_EACH_KIND(test_a_poisoned_page_is_zero_after_a_discard),
		TEST_EACH_KIND(test_a_write_after_a_discard_stays),
		TEST_EACH_KIND(test_a_prefetch_of_everything_leaves_discarded_pages_zero),
		TEST_EACH_KIND(test_discarded_pages_are_counted),
		TEST_EACH_KIND(test_a_discard_gives_memory_back),
		TEST(test_dontneed_of_a_missing_page_by_another_thread_reads_zeros),
		TEST(test_dontneed_of_a_present_page_by_another_thread_reads_zeros),
		TEST(test_dontneed_during_a_read_in_flight_reads_zeros),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
