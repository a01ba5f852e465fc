/* SPDX-License-Identifier: MIT
 *
 * split_test.c - a region that is no longer one piece of the address space: an
 * madvise on a part of it splits it, and the kernel answers ENOENT to whoever
 * installs pages across the seam.
 */
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

/* Page 2 (of four huge ones; of small ones there are seams within a read too)
 * is a piece of its own. */
static void begin(struct fixture *f, enum memory_kind kind, const char *layout)
{
	image_create(&f->image, LENGTH, layout, 31);
	source_create(&f->source, &f->image);
	guest_start(&f->guest, kind, LENGTH, f->source.backing);
	assert_int_equal(madvise(f->guest.host + 2 * f->guest.page, f->guest.page, MADV_DODUMP), 0);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_an_abort_leaves_no_false_zeros(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	for (size_t at = 0; at < LENGTH; at += PAGE)
		assert_int_equal(touch(f.guest.host + at), SIGNALLED + SIGBUS);
	end(&f);
}

static void test_a_finish_succeeds(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d");
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_a_prefetch_brings_everything(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "ddddddddh");
	guest_prefetch(&f.guest, 0, 0);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	assert_int_equal(statistics_at_rest(f.guest.attachment).faults, 0);
	end(&f);
}

/* Zeros come many pages at a time, and so across the seam. */
static void test_a_fault_in_a_hole_ends(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), "h");
	actor_start(&actor, touch, f.guest.host);
	assert_int_equal(actor_join(&actor), 0);
	assert_true(statistics_at_rest(f.guest.attachment).faults <= 2);
	end(&f);
}

static bool three_have_faulted(void *argument)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(argument, &s));
	return s.faults >= 3;
}

/* Faults for neighbouring pages that wait together become one run: these two
 * wait for the only slot. */
static void test_neighbouring_faults_end(void **state)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .demand_depth = 1};
	struct fixture f;
	struct actor first, neighbours[2];

	image_create(&f.image, LENGTH, "d", 32);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, kind_of(state), LENGTH, 0, f.source.backing);
	guest_attach(&f.guest, &options, NULL);
	size_t page = f.guest.page;
	assert_int_equal(madvise(f.guest.host + 2 * page, page, MADV_DODUMP), 0);
	source_hold(&f.source, 0, page);
	actor_start(&first, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	actor_start(&neighbours[0], touch, f.guest.host + page);
	actor_start(&neighbours[1], touch, f.guest.host + 2 * page);
	assert_true(await(three_have_faulted, f.guest.attachment));
	source_release(&f.source);
	assert_int_equal(actor_join(&first), f.image.bytes[0]);
	assert_int_equal(actor_join(&neighbours[0]), f.image.bytes[page]);
	assert_int_equal(actor_join(&neighbours[1]), f.image.bytes[2 * page]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_an_abort_leaves_no_false_zeros),
		TEST_EACH_KIND(test_a_finish_succeeds),
		TEST_EACH_KIND(test_a_prefetch_brings_everything),
		TEST_EACH_KIND(test_a_fault_in_a_hole_ends),
		TEST_EACH_KIND(test_neighbouring_faults_end),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
