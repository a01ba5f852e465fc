/* SPDX-License-Identifier: MIT
 *
 * finish_test.c - finish brings everything, checks that it did, and lets go.
 */
#include <errno.h>
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>

#define LENGTH (16 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static enum lazymem_verdict give_up(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

static void begin(struct fixture *f, enum memory_kind kind)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = give_up};

	image_create(&f->image, LENGTH, "dddhzhhd", 14);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_after_finish_every_page_is_right(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	touch(f.guest.host + LENGTH / 2);
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static void test_after_finish_nothing_is_registered(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	assert_true(is_registered(f.guest.host, LENGTH));
	guest_finish(&f.guest);
	assert_false(is_registered(f.guest.host, LENGTH));
	end(&f);
}

static void test_after_finish_the_source_is_not_needed(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	guest_finish(&f.guest);
	source_fail(&f.source, 0, LENGTH, -EIO, UINT64_MAX);
	uint64_t reads = source_reads(&f.source);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	assert_int_equal(source_reads(&f.source), reads);
	end(&f);
}

static void test_writes_before_finish_stay(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	assert_int_equal(stamp(f.guest.host + 3 * PAGE + 1), STAMP); /* a hole */
	assert_int_equal(stamp(f.guest.host + LENGTH / 2 + 1), STAMP);
	guest_finish(&f.guest);
	assert_int_equal(f.guest.host[3 * PAGE + 1], STAMP);
	assert_int_equal(f.guest.host[LENGTH / 2 + 1], STAMP);
	end(&f);
}

static void test_finish_refuses_what_it_cannot_read_and_goes_on_serving(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_refused(lazymem_attachment_finish(f.guest.attachment), -EIO, "0x100000000");
	size_t last = LENGTH - f.guest.page;
	assert_true(image_matches(&f.image, last, f.guest.host + last, f.guest.page));
	source_fail(&f.source, 0, 0, 0, 0);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	guest_finish(&f.guest);
	end(&f);
}

static void test_finish_refuses_poisoned_pages_and_succeeds_once_they_heal(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_refused(lazymem_attachment_finish(f.guest.attachment), -EIO, "0x100000000");
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	source_fail(&f.source, 0, 0, 0, 0);
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

static int reader(void *argument)
{
	struct fixture *f = argument;

	for (size_t at = LENGTH; at > 0; at -= PAGE)
		if (f->guest.host[at - 1] != f->image.bytes[at - 1])
			return -1;
	return 0;
}

static void test_threads_may_go_on_touching_during_finish(void **state)
{
	struct fixture f;
	struct actor actors[2];

	begin(&f, kind_of(state));
	actor_start(&actors[0], reader, &f);
	actor_start(&actors[1], reader, &f);
	assert_ok(lazymem_attachment_finish(f.guest.attachment));
	f.guest.attachment = NULL;
	assert_int_equal(actor_join(&actors[0]), 0);
	assert_int_equal(actor_join(&actors[1]), 0);
	end(&f);
}

static void test_memory_can_be_attached_again_only_when_fresh(void **state)
{
	struct fixture f;
	struct lazymem_attachment *again = NULL;

	begin(&f, kind_of(state));
	guest_finish(&f.guest);
	assert_refused(lazymem_handler_attach(f.guest.handler, f.guest.memory, NULL, &again),
		       -EEXIST, "");
	assert_null(again);
	end(&f);
}

static void test_discard_of_a_finished_region_still_reads_zeros(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	guest_finish(&f.guest);
	assert_ok(lazymem_memory_discard(f.guest.memory, guest_address(0), f.guest.page));
	assert_true(all_zero(f.guest.host, f.guest.page));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_after_finish_every_page_is_right),
		TEST_EACH_KIND(test_after_finish_nothing_is_registered),
		TEST_EACH_KIND(test_after_finish_the_source_is_not_needed),
		TEST_EACH_KIND(test_writes_before_finish_stay),
		TEST_EACH_KIND(test_finish_refuses_what_it_cannot_read_and_goes_on_serving),
		TEST_EACH_KIND(test_finish_refuses_poisoned_pages_and_succeeds_once_they_heal),
		TEST_EACH_KIND(test_threads_may_go_on_touching_during_finish),
		TEST_EACH_KIND(test_memory_can_be_attached_again_only_when_fresh),
		TEST_EACH_KIND(test_discard_of_a_finished_region_still_reads_zeros),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
