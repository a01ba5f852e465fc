/* SPDX-License-Identifier: MIT
 *
 * statistics_test.c - the counters say what happened. That they add up is
 * checked at the end of every test of every program.
 */
#include <errno.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, const char *layout)
{
	image_create(&f->image, LENGTH, layout, 21);
	source_create(&f->source, &f->image);
	guest_start(&f->guest, kind, LENGTH, f->source.backing);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_a_fresh_attachment_has_counted_nothing(void **state)
{
	struct fixture f;
	struct lazymem_statistics zero = {.size = sizeof(zero)};

	begin(&f, kind_of(state), "d");
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.pages_total, LENGTH / f.guest.page);
	s.pages_total = 0;
	assert_memory_equal(&s, &zero, sizeof(s));
	end(&f);
}

static void test_reads_and_bytes_are_those_of_the_source(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	for (size_t at = 0; at < LENGTH; at += 3 * PAGE)
		touch(f.guest.host + at);
	guest_prefetch(&f.guest, LENGTH / 2, LENGTH / 4);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.reads, source_reads(&f.source));
	assert_int_equal(s.bytes_read, f.source.bytes);
	assert_int_equal(s.retries, 0);
	end(&f);
}

static void test_populated_is_demanded_and_prefetched(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	for (size_t i = 0; i < 4; i++)
		touch(f.guest.host + i / 2 * 2 * f.guest.page);
	guest_prefetch(&f.guest, 0, 4 * f.guest.page);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.faults, 2);
	assert_int_equal(s.pages_prefetched, 2);
	assert_int_equal(s.pages_populated, 4);
	end(&f);
}

static void test_the_quantiles_do_not_fall(void **state)
{
	struct fixture f;
	uint64_t before = 0;

	begin(&f, kind_of(state), "ddh");
	for (size_t at = 0; at < LENGTH; at += PAGE)
		touch(f.guest.host + at);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	for (unsigned percent = 0; percent <= 100; percent += 5) {
		uint64_t latency = lazymem_statistics_quantile(&s, percent / 100.0);

		assert_true(latency >= before);
		before = latency;
	}
	assert_true(before > 0);
	assert_true(before < SOON_NS);
	end(&f);
}

/* The latency of a fault holds the time that its source took. */
static void test_a_slow_read_shows_in_the_latency(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), "d");
	source_hold(&f.source, 0, f.guest.page);
	actor_start(&actor, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_release(&f.source);
	actor_join(&actor);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_true(lazymem_statistics_quantile(&s, 1) >= MILLISECONDS(QUIET_MS));
	end(&f);
}

static void test_an_older_caller_gets_the_part_it_knows(void **state)
{
	struct fixture f;
	struct lazymem_statistics s;

	begin(&f, kind_of(state), "d");
	touch(f.guest.host);
	statistics_at_rest(f.guest.attachment);
	memset(&s, 0xee, sizeof(s));
	s.size = offsetof(struct lazymem_statistics, copied);
	assert_ok(lazymem_attachment_statistics(f.guest.attachment, &s));
	assert_int_equal(s.faults, 1);
	assert_int_equal(s.copied, UINT64_C(0xeeeeeeeeeeeeeeee));
	s.size = 1;
	assert_refused(lazymem_attachment_statistics(f.guest.attachment, &s), -EINVAL, "");
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_fresh_attachment_has_counted_nothing),
		TEST_EACH_KIND(test_reads_and_bytes_are_those_of_the_source),
		TEST_EACH_KIND(test_populated_is_demanded_and_prefetched),
		TEST_EACH_KIND(test_the_quantiles_do_not_fall),
		TEST_EACH_KIND(test_a_slow_read_shows_in_the_latency),
		TEST(test_an_older_caller_gets_the_part_it_knows),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
