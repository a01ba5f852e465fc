/* SPDX-License-Identifier: MIT
 *
 * poison_test.c - a poisoned page that is discarded, healed, or robbed of its
 * poison behind our back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

/* Page 0 is poisoned, and its source can be read again. */
static void begin(struct fixture *f, enum memory_kind kind)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = poison};

	image_create(&f->image, LENGTH, "d", 37);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
	source_fail(&f->source, 0, f->guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f->guest.host), SIGNALLED + SIGBUS);
	source_fail(&f->source, 0, 0, 0, 0);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_a_discard_while_a_page_is_healed_wins(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	source_hold(&f.source, 0, f.guest.page);
	assert_ok(lazymem_mapping_prefetch(f.guest.mapping, 0, f.guest.page));
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, f.guest.page));
	source_release(&f.source);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	assert_int_equal(touch(f.guest.host), 0);
	assert_true(all_zero(f.guest.host, f.guest.page));
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	guest_finish(&f.guest);
	assert_true(all_zero(f.guest.host, f.guest.page));
	end(&f);
}

/* The heal has failed by the time of the discard: poisoned once more. */
static void test_a_page_that_was_not_healed_can_be_discarded(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	guest_prefetch(&f.guest, 0, f.guest.page);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, f.guest.page));
	assert_int_equal(touch(f.guest.host), 0);
	assert_true(all_zero(f.guest.host, f.guest.page));
	guest_finish(&f.guest);
	end(&f);
}

/* A device behind vhost-user, say, punches a hole: hugetlb memory forgets its
 * poison over it, and nobody is told. */
static void test_a_fault_on_poison_that_vanished_ends(void **state)
{
	struct fixture f;
	struct actor actor;
	uint64_t offset;
	int fd;

	begin(&f, kind_of(state));
	assert_ok(lazymem_mapping_fd(f.guest.mapping, &fd, &offset));
	assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
				   (off_t)f.guest.page),
			 0);
	actor_start(&actor, touch, f.guest.host);
	assert_int_equal(actor_join(&actor), SIGNALLED + SIGBUS);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 1);
	guest_prefetch(&f.guest, 0, f.guest.page);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	end(&f);
}

/* The kernel makes zeros of poison when it makes a huge page of shared memory,
 * so after an abort advice for huge pages must come to nothing. */
static void test_advice_after_an_abort_makes_no_false_zeros(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state));
	guest_prefetch(&f.guest, PAGE, BLOCK - PAGE); /* a block of which one page is poison */
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	lazymem_mapping_use_hugepages(f.guest.mapping);
	madvise(f.guest.host, BLOCK, MADV_COLLAPSE);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_int_equal(touch(f.guest.host + PAGE), f.image.bytes[PAGE]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_a_discard_while_a_page_is_healed_wins),
		TEST_EACH_KIND(test_a_page_that_was_not_healed_can_be_discarded),
		TEST_NAMED(test_a_fault_on_poison_that_vanished_ends, "poison that vanished",
			   HUGETLB),
		TEST_NAMED(test_advice_after_an_abort_makes_no_false_zeros,
			   "advice after an abort (anonymous)", ANONYMOUS),
		TEST_NAMED(test_advice_after_an_abort_makes_no_false_zeros,
			   "advice after an abort (memfd)", MEMFD),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
