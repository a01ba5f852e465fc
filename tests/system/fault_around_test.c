/* SPDX-License-Identifier: MIT
 *
 * fault_around_test.c - the pages that come along with a faulting one: fault_around,
 * and fault_ahead for whoever goes through memory in order.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <unistd.h>

#define LENGTH (4 * MIB)
#define AROUND (64 * (size_t)1024)
#define ALONG (AROUND / PAGE) /* pages */

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	size_t from; /* pages, for populated_so_far */
};

static void begin_as(struct fixture *f, enum memory_kind kind, const char *layout,
		     const struct lazymem_attach_options *attach_options)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_around = AROUND};

	image_create(&f->image, LENGTH, layout, 31);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, &options, attach_options);
}

static void begin(struct fixture *f, enum memory_kind kind, const char *layout)
{
	begin_as(f, kind, layout, NULL);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static unsigned char *page_at(struct fixture *f, size_t page)
{
	return f->guest.host + page * PAGE;
}

static bool populated_so_far(void *argument)
{
	struct fixture *f = argument;

	return statistics_at_rest(f->guest.attachment).pages_populated >= f->from;
}

static bool arrived(struct fixture *f, size_t page, size_t count)
{
	return image_matches(&f->image, page * PAGE, page_at(f, page), count * PAGE);
}

/* Which pages were read: none but `count` from `page` on, and these once. */
static void expect_read(struct fixture *f, size_t page, size_t count)
{
	for (size_t i = 0; i < LENGTH / PAGE; i++)
		assert_int_equal(source_most_reads(&f->source, i * PAGE, PAGE),
				 i >= page && i < page + count);
}

static void test_so_many_bytes_come_with_a_fault(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	touch(page_at(&f, 5));
	assert_int_equal(source_reads(&f.source), 1);
	expect_read(&f, 5, ALONG);
	assert_true(arrived(&f, 5, ALONG));
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.faults, 1);
	assert_int_equal(s.pages_populated, ALONG);
	assert_int_equal(s.pages_prefetched, ALONG - 1);
	end(&f);
}

static void test_nothing_comes_along_by_default(void **state)
{
	struct fixture f;

	image_create(&f.image, LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_start(&f.guest, kind_of(state), LENGTH, f.source.backing);
	touch(page_at(&f, 4));
	expect_read(&f, 4, 1);
	end(&f);
}

static void test_nothing_comes_along_in_a_recording(void **state)
{
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_RECORD};
	struct fixture f;

	begin_as(&f, kind_of(state), "d", &options);
	touch(page_at(&f, 4));
	expect_read(&f, 4, 1);
	end(&f);
}

static void test_a_huge_page_comes_alone(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, HUGETLB, "d");
	touch(f.guest.host);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_populated, 1);
	end(&f);
}

static void test_zeros_come_along_up_to_64_kib(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "h");
	touch(f.guest.host);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.pages_populated, f.guest.page < AROUND ? AROUND / f.guest.page : 1);
	end(&f);
}

static void test_a_page_that_is_there_is_left_as_it_is(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	assert_int_equal(stamp(page_at(&f, 7)), STAMP); /* and what is behind it */
	touch(page_at(&f, 3));
	assert_int_equal(*page_at(&f, 7), STAMP);
	assert_true(arrived(&f, 3, 4));
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	end(&f);
}

static void test_a_discarded_page_stays_zero(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 7 * PAGE, PAGE));
	touch(page_at(&f, 3));
	expect_read(&f, 3, 4);
	assert_true(all_zero(page_at(&f, 7), PAGE));
	end(&f);
}

/* While the read that brings it along is in flight. */
static void test_a_page_discarded_meanwhile_reads_as_zeros(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), "d");
	source_hold(&f.source, 0, LENGTH);
	actor_start(&actor, touch, page_at(&f, 3));
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 7 * PAGE, PAGE));
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), f.image.bytes[3 * PAGE]);
	assert_true(all_zero(page_at(&f, 7), PAGE));
	assert_true(arrived(&f, 3, 4));
	assert_true(arrived(&f, 8, ALONG - 8));
	end(&f);
}

static void test_a_hole_is_not_read_with_it(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "ddddddhd");
	touch(page_at(&f, 3));
	expect_read(&f, 3, 3);
	assert_true(arrived(&f, 0, LENGTH / PAGE));
	end(&f);
}

static enum lazymem_verdict poison_at_once(void *context, const struct lazymem_failure *failure)
{
	(void)failure;
	++*(atomic_uint *)context;
	return LAZYMEM_POISON;
}

static void test_a_bad_page_along_poisons_no_other(void **state)
{
	atomic_uint asked = 0;
	struct lazymem_attach_options options = {
		.size = sizeof(options), .on_failure = poison_at_once, .context = &asked};
	struct fixture f;

	begin_as(&f, kind_of(state), "d", &options);
	source_fail(&f.source, 7 * PAGE, PAGE, -EIO, UINT64_MAX);
	assert_int_equal(touch(page_at(&f, 3)), f.image.bytes[3 * PAGE]);
	assert_int_equal(asked, 0);
	for (size_t page = 0; page < ALONG; page++)
		assert_int_equal(touch(page_at(&f, page)),
				 page == 7 ? SIGNALLED + SIGBUS : f.image.bytes[page * PAGE]);
	assert_int_equal(asked, 1);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 1);
	end(&f);
}

static void test_a_fault_that_joins_a_page_along_is_woken(void **state)
{
	struct fixture f;
	struct actor first, second;

	begin(&f, kind_of(state), "d");
	source_hold(&f.source, 0, LENGTH);
	actor_start(&first, touch, page_at(&f, 3));
	assert_true(source_await_held(&f.source, 1));
	actor_start(&second, touch, page_at(&f, 9));
	assert_false(actor_is_done(&second, QUIET_MS));
	source_release(&f.source);
	assert_int_equal(actor_join(&first), f.image.bytes[3 * PAGE]);
	assert_int_equal(actor_join(&second), f.image.bytes[9 * PAGE]);
	expect_read(&f, 3, ALONG);
	end(&f);
}

#define THREADS 8u

static int touch_downwards(void *argument)
{
	struct fixture *f = argument;
	int wrong = 0;

	for (size_t page = LENGTH / PAGE; page-- > 0;)
		wrong += touch(page_at(f, page)) != f->image.bytes[page * PAGE];
	return wrong;
}

static int touch_upwards(void *argument)
{
	struct fixture *f = argument;
	int wrong = 0;

	for (size_t page = 0; page < LENGTH / PAGE; page++)
		wrong += touch(page_at(f, page)) != f->image.bytes[page * PAGE];
	return wrong;
}

static void test_threads_that_meet_read_what_is_right(void **state)
{
	struct fixture f;
	struct actor actors[THREADS];

	begin(&f, kind_of(state), "dddddh");
	for (size_t i = 0; i < THREADS; i++)
		actor_start(&actors[i], i % 2 ? touch_downwards : touch_upwards, &f);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	statistics_at_rest(f.guest.attachment);
	end(&f);
}

/* ---- fault_ahead */

static void begin_ahead(struct fixture *f, enum memory_kind kind, const char *layout)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = AROUND};

	image_create(&f->image, LENGTH, layout, 31);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, &options, NULL);
}

static void test_a_page_far_from_others_comes_alone(void **state)
{
	struct fixture f;

	begin_ahead(&f, kind_of(state), "d");
	touch(page_at(&f, 5));
	touch(page_at(&f, 9));
	touch(page_at(&f, 4)); /* before, not behind */
	assert_int_equal(source_reads(&f.source), 3);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_populated, 3);
	end(&f);
}

static void test_a_stream_doubles_its_reads_up_to_the_limit(void **state)
{
	struct fixture f;

	begin_ahead(&f, kind_of(state), "d");
	for (size_t page = 0, there = 0; page < 4 * ALONG; page++) {
		touch(page_at(&f, page));
		if (page < there)
			continue;
		there += there == 0 ? 1 : there < ALONG ? there : ALONG;
		assert_int_equal(statistics_at_rest(f.guest.attachment).pages_populated, there);
	}
	assert_true(arrived(&f, 0, 4 * ALONG));
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	/* 1, 1, 2, 4, 8: 16 pages in 5 reads; then 16 at a time */
	assert_int_equal(source_reads(&f.source), 5 + 3);
	end(&f);
}

/* Beyond what comes with the fault, the rest follows by itself. */
static void test_a_long_stream_is_read_ahead_in_the_background(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = MIB};
	struct lazymem_statistics statistics;
	struct fixture f;

	image_create(&f.image, LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	guest_prefetch(&f.guest, 0, MIB);
	touch(page_at(&f, MIB / PAGE));
	f.from = 2 * MIB / PAGE;
	assert_true(await(populated_so_far, &f)); /* what was there, and as much again */
	usleep(QUIET_MS * 1000);
	statistics = statistics_at_rest(f.guest.attachment);
	assert_int_equal(statistics.pages_populated, 2 * MIB / PAGE);
	assert_int_equal(statistics.faults, 1);
	assert_true(arrived(&f, 0, 2 * MIB / PAGE));
	assert_int_equal(statistics_at_rest(f.guest.attachment).faults, 1);
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	end(&f);
}

/* A stream under way is no reason to wait, and is forgotten when the memory is let go. */
static void test_an_abort_does_not_wait_for_a_stream(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = MIB};
	struct fixture f;

	image_create(&f.image, LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	guest_prefetch(&f.guest, 0, MIB);
	touch(page_at(&f, MIB / PAGE));
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_true(arrived(&f, 0, MIB / PAGE + 1));
	end(&f);
}

static void test_what_comes_ahead_stops_at_what_is_there(void **state)
{
	struct fixture f;

	begin_ahead(&f, kind_of(state), "d");
	for (size_t page = 0; page < 8; page++)
		touch(page_at(&f, page));
	assert_int_equal(stamp(page_at(&f, 10)), STAMP);
	touch(page_at(&f, 8));
	assert_int_equal(*page_at(&f, 10), STAMP);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_populated, 11);
	end(&f);
}

/* Pieces smaller than what comes with a fault at once. */
static void test_a_stream_keeps_to_small_pieces(void **state)
{
	struct lazymem_handler_options options = {
		.size = sizeof(options), .fault_ahead = MIB, .prefetch_piece = PAGE};
	struct fixture f;

	image_create(&f.image, LENGTH, "ddddh", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	assert_true(arrived(&f, 0, LENGTH / PAGE));
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	end(&f);
}

/* Guest memory whose last page is not all in what fills it. */
static void test_a_stream_ends_in_zeros_where_the_image_does(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = MIB};
	struct fixture f;

	image_create(&f.image, LENGTH - 1234, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	assert_true(arrived(&f, 0, LENGTH / PAGE));
	assert_true(all_zero(f.guest.host + LENGTH - 1234, 1234));
	end(&f);
}

static void test_huge_pages_are_read_ahead(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = LENGTH};
	struct fixture f;

	(void)state;
	image_create(&f.image, 2 * LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, HUGETLB, 2 * LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	touch(f.guest.host);
	touch(f.guest.host + BLOCK); /* and one more */
	f.from = 3;
	assert_true(await(populated_so_far, &f));
	assert_int_equal(statistics_at_rest(f.guest.attachment).faults, 2);
	assert_true(image_matches(&f.image, 0, f.guest.host, 2 * LENGTH));
	end(&f);
}

/* A stream that cannot be read gives up, and the next one begins anew. */
static void test_a_stream_that_failed_is_followed_by_another(void **state)
{
	atomic_uint asked = 0;
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = MIB};
	struct lazymem_attach_options attach_options = {
		.size = sizeof(attach_options), .on_failure = poison_at_once, .context = &asked};
	struct fixture f = {.from = 2 * MIB / PAGE + 2};

	image_create(&f.image, LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, &attach_options);
	guest_prefetch(&f.guest, 0, MIB);
	source_fail(&f.source, MIB + 128 * 1024, MIB, -EIO, UINT64_MAX);
	touch(page_at(&f, MIB / PAGE));
	guest_prefetch(&f.guest, 2 * MIB + 512 * 1024, PAGE); /* comes after it */
	source_fail(&f.source, 0, 0, 0, 0);
	assert_true(arrived(&f, 0, LENGTH / PAGE));
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	end(&f);
}

/* A discard takes what a stream is about to bring. */
static void test_what_is_discarded_before_a_stream_reads_as_zeros(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .fault_ahead = MIB};
	struct fixture f;

	image_create(&f.image, LENGTH, "d", 31);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	guest_prefetch(&f.guest, 0, MIB);
	source_hold(&f.source, MIB + AROUND, MIB);
	touch(page_at(&f, MIB / PAGE));
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, MIB + 512 * 1024, MIB));
	source_release(&f.source);
	assert_true(all_zero(page_at(&f, (MIB + 512 * 1024) / PAGE), MIB));
	assert_true(arrived(&f, 0, (MIB + 512 * 1024) / PAGE));
	end(&f);
}

static void test_bad_options_are_refused_by_name(void **state)
{
	static const struct lazymem_handler_options bad[] = {
		{.size = sizeof(bad[0]), .fault_around = 512 * 1024},
		{.size = sizeof(bad[0]), .prefetch_piece = PAGE, .fault_around = 2 * PAGE},
	};
	static const struct lazymem_handler_options ahead = {.size = sizeof(ahead),
							     .fault_ahead = 65 * MIB};
	struct lazymem_handler *handler = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_refused(lazymem_handler_create(&bad[i], &handler), -EINVAL, "fault_around");
	assert_refused(lazymem_handler_create(&ahead, &handler), -EINVAL, "fault_ahead");
	assert_null(handler);
}

#define EACH_SMALL_KIND(function)                                                                  \
	TEST_NAMED(function, #function " (anonymous)", ANONYMOUS),                                 \
		TEST_NAMED(function, #function " (memfd)", MEMFD)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH_SMALL_KIND(test_so_many_bytes_come_with_a_fault),
		EACH_SMALL_KIND(test_nothing_comes_along_by_default),
		EACH_SMALL_KIND(test_nothing_comes_along_in_a_recording),
		TEST(test_a_huge_page_comes_alone),
		EACH_SMALL_KIND(test_zeros_come_along_up_to_64_kib),
		TEST_NAMED(test_zeros_come_along_up_to_64_kib,
			   "test_zeros_come_along_up_to_64_kib (hugetlb)", HUGETLB),
		EACH_SMALL_KIND(test_a_page_that_is_there_is_left_as_it_is),
		EACH_SMALL_KIND(test_a_discarded_page_stays_zero),
		EACH_SMALL_KIND(test_a_page_discarded_meanwhile_reads_as_zeros),
		EACH_SMALL_KIND(test_a_hole_is_not_read_with_it),
		EACH_SMALL_KIND(test_a_bad_page_along_poisons_no_other),
		EACH_SMALL_KIND(test_a_fault_that_joins_a_page_along_is_woken),
		EACH_SMALL_KIND(test_threads_that_meet_read_what_is_right),
		EACH_SMALL_KIND(test_a_page_far_from_others_comes_alone),
		EACH_SMALL_KIND(test_a_stream_doubles_its_reads_up_to_the_limit),
		EACH_SMALL_KIND(test_a_long_stream_is_read_ahead_in_the_background),
		EACH_SMALL_KIND(test_an_abort_does_not_wait_for_a_stream),
		EACH_SMALL_KIND(test_what_comes_ahead_stops_at_what_is_there),
		EACH_SMALL_KIND(test_a_stream_keeps_to_small_pieces),
		EACH_SMALL_KIND(test_a_stream_ends_in_zeros_where_the_image_does),
		TEST(test_huge_pages_are_read_ahead),
		EACH_SMALL_KIND(test_a_stream_that_failed_is_followed_by_another),
		EACH_SMALL_KIND(test_what_is_discarded_before_a_stream_reads_as_zeros),
		TEST(test_bad_options_are_refused_by_name),
	};

	require_faults();
	require_hugetlb(BLOCK, 2 * LENGTH / BLOCK);
	return run_group(tests);
}
