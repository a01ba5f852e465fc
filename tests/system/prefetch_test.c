/* SPDX-License-Identifier: MIT
 *
 * prefetch_test.c - pages that arrive before anybody asks, and that keep
 * nobody waiting who does.
 */
#include <errno.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <unistd.h>

#define LENGTH (16 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, const char *layout)
{
	image_create(&f->image, LENGTH, layout, 12);
	source_create(&f->source, &f->image);
	guest_start(&f->guest, kind, LENGTH, f->source.backing);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static uint64_t faults(struct fixture *f)
{
	return statistics_at_rest(f->guest.attachment).faults;
}

static void test_everything_arrives_without_a_fault(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "ddhz");
	guest_prefetch(&f.guest, 0, 0);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.faults, 0);
	assert_int_equal(s.pages_prefetched, LENGTH / f.guest.page);
	assert_int_equal(s.pages_populated, LENGTH / f.guest.page);
	end(&f);
}

static void test_a_range_brings_its_pages_and_no_others(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	size_t page = f.guest.page;
	guest_prefetch(&f.guest, 2 * page, page);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_prefetched, 1);
	assert_true(image_matches(&f.image, 2 * page, f.guest.host + 2 * page, page));
	assert_int_equal(faults(&f), 0);
	assert_int_equal(source_most_reads(&f.source, 0, 2 * page), 0);
	assert_int_equal(source_most_reads(&f.source, 3 * page, LENGTH - 3 * page), 0);
	end(&f);
}

static void test_bytes_across_a_boundary_bring_both_pages(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	size_t page = f.guest.page;
	guest_prefetch(&f.guest, page - 1, 2);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_prefetched, 2);
	assert_true(image_matches(&f.image, 0, f.guest.host, 2 * page));
	assert_int_equal(faults(&f), 0);
	end(&f);
}

static void test_present_pages_are_not_read_again(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	touch(f.guest.host);
	touch(f.guest.host + 2 * f.guest.page);
	guest_prefetch(&f.guest, 0, 0);
	guest_prefetch(&f.guest, 0, 0);
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_a_written_page_is_not_overwritten(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	assert_int_equal(stamp(f.guest.host + 50), STAMP);
	guest_prefetch(&f.guest, 0, 0);
	assert_int_equal(f.guest.host[50], STAMP);
	end(&f);
}

static void test_a_fault_is_served_while_a_fill_is_stuck(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	size_t last = LENGTH - f.guest.page;
	source_hold(&f.source, 0, last);
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, NULL));
	assert_true(source_await_held(&f.source, 1));
	assert_true(image_matches(&f.image, last, f.guest.host + last, f.guest.page));
	assert_int_equal(lazymem_attachment_wait(f.guest.attachment, 0), -ETIMEDOUT);
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	end(&f);
}

static void test_a_fault_that_joins_a_prefetch_in_flight_is_woken(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), "d");
	source_hold(&f.source, 0, LENGTH);
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, NULL));
	assert_true(source_await_held(&f.source, 1));
	actor_start(&actor, touch, f.guest.host + 3);
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), f.image.bytes[3]);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_int_equal(source_most_reads(&f.source, 0, f.guest.page), 1);
	end(&f);
}

static void test_prefetches_run_one_after_the_other(void **state)
{
	struct fixture f;
	size_t page = page_size_of(kind_of(state));
	struct lazymem_guest_range ranges[] = {{guest_address(page), page},
					       {guest_address(0), page}};
	struct lazymem_prefetch second = {
		.size = sizeof(second), .ranges = &ranges[1], .range_count = 1};

	begin(&f, kind_of(state), "d");
	source_hold(&f.source, page, page);
	struct lazymem_prefetch first = {
		.size = sizeof(first), .ranges = &ranges[0], .range_count = 1};
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &first));
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &second));
	assert_true(source_await_held(&f.source, 1));
	assert_int_equal(lazymem_attachment_wait(f.guest.attachment, MILLISECONDS(QUIET_MS)),
			 -ETIMEDOUT);
	assert_int_equal(source_most_reads(&f.source, 0, page), 0);
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_true(image_matches(&f.image, 0, f.guest.host, 2 * page));
	end(&f);
}

/* However small the first one is. */
static void test_no_more_is_in_flight_than_three_pieces(void **state)
{
	const size_t piece = 256 * 1024 / PAGE;
	struct lazymem_guest_range ranges[8];
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = ranges, .range_count = 8};
	struct fixture f;

	begin(&f, kind_of(state), "d");
	for (size_t i = 0; i < 8; i++)
		ranges[i] = (struct lazymem_guest_range){guest_address(i * piece * PAGE),
							 (piece - (i == 0)) * PAGE};
	source_hold(&f.source, 0, LENGTH);
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &prefetch));
	assert_true(source_await_held(&f.source, 3));
	usleep(QUIET_MS * 1000);
	pthread_mutex_lock(&f.source.lock);
	assert_int_equal(f.source.held_count, 3);
	pthread_mutex_unlock(&f.source.lock);
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	end(&f);
}

static bool a_rate_is_kept(void *argument)
{
	struct fixture f;
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch), .bytes_per_second = LENGTH};
	uint64_t start;

	begin(&f, *(const enum memory_kind *)argument, "d");
	start = now_ns();
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &prefetch));
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	uint64_t took = now_ns() - start;
	print_message("%zu MiB at %zu MiB/s: %lu ms\n", LENGTH / MIB, LENGTH / MIB, took / 1000000);
	assert_true(took > MILLISECONDS(600));
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
	return took < SECONDS(4) * TIME_SCALE;
}

static void test_a_rate_is_kept(void **state)
{
	enum memory_kind kind = kind_of(state);

	assert_true(holds_once(a_rate_is_kept, &kind));
}

/* The second piece of this prefetch would come after days. */
static void test_a_fault_does_not_wait_for_the_rate(void **state)
{
	struct fixture f;
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch), .bytes_per_second = 1};

	begin(&f, kind_of(state), "d");
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &prefetch));
	assert_true(image_matches(&f.image, LENGTH - f.guest.page,
				  f.guest.host + LENGTH - f.guest.page, f.guest.page));
	assert_int_equal(lazymem_attachment_wait(f.guest.attachment, 0), -ETIMEDOUT);
	end(&f); /* aborts the prefetch too */
}

static void test_the_memory_hint_prefetches(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	assert_ok(lazymem_memory_prefetch(f.guest.memory, guest_address(0), 2 * f.guest.page));
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_true(image_matches(&f.image, 0, f.guest.host, 2 * f.guest.page));
	assert_int_equal(faults(&f), 0);
	end(&f);
}

static void test_ranges_outside_are_passed_over(void **state)
{
	struct fixture f;
	struct lazymem_guest_range range = {.start = {0}, .length = GUEST_BASE + PAGE};
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = &range, .range_count = 1};

	begin(&f, kind_of(state), "d");
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &prefetch));
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_prefetched, 1);
	end(&f);
}

static void test_bad_requests_are_refused(void **state)
{
	struct fixture f;
	struct lazymem_trace *trace;
	struct lazymem_guest_range wraps = {.start = {UINT64_MAX - 1}, .length = 4096};
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = &wraps, .range_count = 1};
	struct {
		struct lazymem_prefetch known;
		uint64_t unknown;
	} newer = {.known = {.size = sizeof(newer)}, .unknown = 1};

	begin(&f, kind_of(state), "d");
	assert_refused(lazymem_attachment_prefetch(f.guest.attachment, &prefetch), -EINVAL, "");
	assert_refused(lazymem_attachment_prefetch(f.guest.attachment, &newer.known), -E2BIG, "");
	assert_ok(lazymem_trace_create(PAGE, &trace));
	wraps.start = guest_address(0);
	prefetch.trace = trace;
	assert_refused(lazymem_attachment_prefetch(f.guest.attachment, &prefetch), -EINVAL, "");
	lazymem_trace_destroy(trace);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_int_equal(source_reads(&f.source), 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_everything_arrives_without_a_fault),
		TEST_EACH_KIND(test_a_range_brings_its_pages_and_no_others),
		TEST_EACH_KIND(test_bytes_across_a_boundary_bring_both_pages),
		TEST_EACH_KIND(test_present_pages_are_not_read_again),
		TEST_EACH_KIND(test_a_written_page_is_not_overwritten),
		TEST_EACH_KIND(test_a_fault_is_served_while_a_fill_is_stuck),
		TEST_EACH_KIND(test_a_fault_that_joins_a_prefetch_in_flight_is_woken),
		TEST_EACH_KIND(test_prefetches_run_one_after_the_other),
		TEST_NAMED(test_no_more_is_in_flight_than_three_pieces, "four_pieces", ANONYMOUS),
		TEST_EACH_KIND(test_a_rate_is_kept),
		TEST(test_a_fault_does_not_wait_for_the_rate),
		TEST_EACH_KIND(test_the_memory_hint_prefetches),
		TEST(test_ranges_outside_are_passed_over),
		TEST(test_bad_requests_are_refused),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
