/* SPDX-License-Identifier: MIT
 *
 * failure_test.c - a source that fails: the owner decides, a page is retried
 * or poisoned, and healed when its source can be read again.
 */
#include <errno.h>
#include <lazymem/inject.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (8 * MIB)

/* What on_failure was told, and what it answers. */
static struct {
	atomic_uint calls;
	unsigned retries; /* RETRY for so many attempts, then POISON */
	struct lazymem_failure last;
	char backing[64];
} owner;

static enum lazymem_verdict decide(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	owner.last = *failure;
	snprintf(owner.backing, sizeof(owner.backing), "%s", failure->backing);
	atomic_fetch_add(&owner.calls, 1);
	return failure->attempts <= owner.retries ? LAZYMEM_RETRY : LAZYMEM_POISON;
}

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, bool with_owner, unsigned retries)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.on_failure = with_owner ? decide : NULL,
	};

	atomic_store(&owner.calls, 0);
	owner.retries = retries;
	image_create(&f->image, LENGTH, "d", 10);
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

static void test_retry_until_the_source_recovers(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 2);
	source_fail(&f.source, 0, f.guest.page, -EIO, 2);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	assert_int_equal(atomic_load(&owner.calls), 2);
	assert_int_equal(statistics_at_rest(f.guest.attachment).retries, 2);
	end(&f);
}

static void test_the_default_outlives_three_failures(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), false, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, 3);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	end(&f);
}

static void test_the_default_poisons_what_never_recovers(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), false, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	end(&f);
}

static void test_a_poisoned_page_raises_sigbus_and_is_counted(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_int_equal(touch(f.guest.host + f.guest.page), f.image.bytes[f.guest.page]);
	struct lazymem_statistics s = statistics_at_rest(f.guest.attachment);
	assert_int_equal(s.pages_poisoned, 1);
	assert_int_equal(s.failed, 1);
	end(&f);
}

static void test_a_poisoned_page_fails_a_system_call_with_efault(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(call_reading(f.guest.host), -EFAULT);
	assert_int_equal(call_writing(f.guest.host), -EFAULT);
	end(&f);
}

static void test_the_owner_is_told_what_failed(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 0);
	size_t page = f.guest.page;
	source_fail(&f.source, page, page, -EREMOTEIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host + page + 5), SIGNALLED + SIGBUS);
	assert_int_equal(atomic_load(&owner.calls), 1);
	assert_int_equal(owner.last.address.value, GUEST_BASE + page);
	assert_int_equal(owner.last.length, page);
	assert_int_equal(owner.last.backing_offset, page);
	assert_int_equal(owner.last.error, -EREMOTEIO);
	assert_int_equal(owner.last.attempts, 1);
	assert_true(owner.last.demand);
	assert_string_equal(owner.backing, "test source");
	end(&f);
}

static void test_a_prefetch_heals_a_poisoned_page(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	source_fail(&f.source, 0, 0, 0, 0);
	guest_prefetch(&f.guest, 0, f.guest.page);
	assert_int_equal(touch(f.guest.host), f.image.bytes[0]);
	assert_true(image_matches(&f.image, 0, f.guest.host, f.guest.page));
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	end(&f);
}

static void test_a_failed_prefetch_leaves_pages_missing_not_poisoned(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), true, 0);
	source_fail(&f.source, 0, LENGTH, -EIO, UINT64_MAX);
	guest_prefetch(&f.guest, 0, 0);
	assert_true(atomic_load(&owner.calls) > 0);
	assert_false(owner.last.demand);
	source_fail(&f.source, 0, 0, 0, 0);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end(&f);
}

/* Demand that joins a prefetch that then fails decides with its own verdict. */
static void test_a_fault_that_waits_for_a_failing_prefetch_ends(void **state)
{
	struct fixture f;
	struct actor actor;

	begin(&f, kind_of(state), true, 0);
	source_hold(&f.source, 0, LENGTH);
	assert_ok(lazymem_attachment_prefetch(f.guest.attachment, NULL));
	assert_true(source_await_held(&f.source, 1));
	actor_start(&actor, touch, f.guest.host + 3);
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), SIGNALLED + SIGBUS);
	assert_ok(lazymem_attachment_wait(f.guest.attachment, SOON_NS));
	end(&f);
}

static void test_a_short_read_is_never_served(void **state)
{
	struct image image;
	struct source source;
	struct lazymem_backing *shortened;
	struct guest guest;
	struct lazymem_inject_range all = {0};

	image_create(&image, LENGTH, "d", 11);
	source_create(&source, &image);
	assert_ok(lazymem_inject_shorten(source.backing, all, 3, &shortened));
	guest_start(&guest, kind_of(state), LENGTH, shortened);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	guest_end(&guest);
	lazymem_backing_unref(shortened);
	source_destroy(&source);
	image_destroy(&image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_retry_until_the_source_recovers),
		TEST_EACH_KIND(test_the_default_outlives_three_failures),
		TEST_EACH_KIND(test_the_default_poisons_what_never_recovers),
		TEST_EACH_KIND(test_a_poisoned_page_raises_sigbus_and_is_counted),
		TEST_EACH_KIND(test_a_poisoned_page_fails_a_system_call_with_efault),
		TEST_EACH_KIND(test_the_owner_is_told_what_failed),
		TEST_EACH_KIND(test_a_prefetch_heals_a_poisoned_page),
		TEST_EACH_KIND(test_a_failed_prefetch_leaves_pages_missing_not_poisoned),
		TEST_EACH_KIND(test_a_fault_that_waits_for_a_failing_prefetch_ends),
		TEST_EACH_KIND(test_a_short_read_is_never_served),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
