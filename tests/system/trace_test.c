/* SPDX-License-Identifier: MIT
 *
 * trace_test.c - the order in which a run first touched its pages, recorded,
 * kept in a file and replayed.
 */
#include <errno.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define PAGES 16u

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, unsigned flags)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .flags = flags};
	size_t length = PAGES * page_size_of(kind);

	image_create(&f->image, length, "ddh", 13);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, length, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static struct lazymem_trace *take(struct fixture *f)
{
	struct lazymem_trace *trace;

	statistics_at_rest(f->guest.attachment);
	assert_ok(lazymem_attachment_trace(f->guest.attachment, &trace));
	return trace;
}

static void expect_range(struct fixture *f, const struct lazymem_trace *trace, size_t index,
			 size_t page, size_t pages)
{
	struct lazymem_guest_range range = lazymem_trace_range(trace, index);

	assert_int_equal(range.start.value, GUEST_BASE + page * f->guest.page);
	assert_int_equal(range.length, pages * f->guest.page);
}

static void test_a_trace_is_the_order_of_first_touches(void **state)
{
	static const size_t touches[] = {5, 3, 9, 3, 5, 1, 14, 12};
	static const size_t expected[] = {5, 3, 9, 1, 14, 12};
	struct fixture f;

	begin(&f, kind_of(state), LAZYMEM_ATTACH_RECORD);
	for (size_t i = 0; i < 8; i++)
		touch(f.guest.host + touches[i] * f.guest.page + 100);
	struct lazymem_trace *trace = take(&f);
	assert_int_equal(lazymem_trace_length(trace), 6 * f.guest.page);
	assert_int_equal(lazymem_trace_count(trace), 6);
	for (size_t i = 0; i < 6; i++)
		expect_range(&f, trace, i, expected[i], 1);
	lazymem_trace_destroy(trace);
	end(&f);
}

static void test_neighbours_touched_in_order_are_one_range(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), LAZYMEM_ATTACH_RECORD);
	for (size_t page = 4; page < 9; page++)
		touch(f.guest.host + page * f.guest.page);
	struct lazymem_trace *trace = take(&f);
	assert_int_equal(lazymem_trace_count(trace), 1);
	expect_range(&f, trace, 0, 4, 5);
	lazymem_trace_destroy(trace);
	end(&f);
}

static void test_a_prefetch_leaves_no_trace(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), LAZYMEM_ATTACH_RECORD);
	guest_prefetch(&f.guest, 0, 4 * f.guest.page);
	touch(f.guest.host + 8 * f.guest.page);
	struct lazymem_trace *trace = take(&f);
	assert_int_equal(lazymem_trace_count(trace), 1);
	expect_range(&f, trace, 0, 8, 1);
	lazymem_trace_destroy(trace);
	end(&f);
}

static void test_a_run_that_is_not_recorded_has_no_trace(void **state)
{
	struct fixture f;
	struct lazymem_trace *trace = NULL;

	begin(&f, kind_of(state), 0);
	assert_refused(lazymem_attachment_trace(f.guest.attachment, &trace), -EINVAL, "");
	assert_null(trace);
	end(&f);
}

static void test_a_saved_trace_replays_its_pages_and_no_others(void **state)
{
	static const size_t touches[] = {7, 2, 12};
	struct fixture f;
	struct lazymem_trace *trace;
	const char *path = scratch_path("trace");

	begin(&f, kind_of(state), LAZYMEM_ATTACH_RECORD);
	for (size_t i = 0; i < 3; i++)
		touch(f.guest.host + touches[i] * f.guest.page);
	trace = take(&f);
	assert_ok(lazymem_trace_save(trace, path));
	lazymem_trace_destroy(trace);
	end(&f);

	begin(&f, kind_of(state), 0);
	assert_ok(lazymem_trace_load(scratch_path("trace"), &trace));
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch), .trace = trace};
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &prefetch));
	lazymem_trace_destroy(trace); /* it was copied */
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	for (size_t i = 0; i < 3; i++)
		assert_true(image_matches(&f.image, touches[i] * f.guest.page,
					  f.guest.host + touches[i] * f.guest.page, f.guest.page));
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.faults, 0);
	assert_int_equal(s.pages_prefetched, 3);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_trace_is_the_order_of_first_touches),
		TEST_EACH_KIND(test_neighbours_touched_in_order_are_one_range),
		TEST_EACH_KIND(test_a_prefetch_leaves_no_trace),
		TEST_EACH_KIND(test_a_run_that_is_not_recorded_has_no_trace),
		TEST_EACH_KIND(test_a_saved_trace_replays_its_pages_and_no_others),
	};

	require_faults();
	require_hugetlb(BLOCK, PAGES);
	return run_group(tests);
}
