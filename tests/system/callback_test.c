/* SPDX-License-Identifier: MIT
 *
 * callback_test.c - what on_failure is told of who waits, and that it cannot
 * make its own worker wait for itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (4 * MIB)

/* Two guests of one worker; the first one's source fails. */
static struct {
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_mapping *mapping;
	struct lazymem_memory *memory;
	struct lazymem_attachment *other;
	atomic_uint calls;
	int (*call)(void);
	atomic_int answer;
} t;

static void begin(enum lazymem_verdict (*on_failure)(void *, const struct lazymem_failure *))
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = on_failure};
	struct lazymem_region *region;

	atomic_store(&t.calls, 0);
	atomic_store(&t.answer, 1);
	image_create(&t.image, LENGTH, "d", 34);
	source_create(&t.source, &t.image);
	guest_map(&t.guest, ANONYMOUS, LENGTH, 0, t.source.backing);
	guest_attach(&t.guest, NULL, &options);
	assert_ok(lazymem_mapping_create_anonymous(LENGTH, NULL, &t.mapping));
	assert_ok(lazymem_region_create(t.mapping, guest_address(0), t.source.backing, 0, &region));
	assert_ok(lazymem_memory_create(&region, 1, &t.memory));
	lazymem_region_unref(region);
	assert_ok(lazymem_handler_attach(t.guest.handler, t.memory, NULL, &t.other));
}

static void end(void)
{
	lazymem_attachment_abort(t.other);
	lazymem_memory_unref(t.memory);
	lazymem_mapping_unref(t.mapping);
	guest_end(&t.guest);
	source_destroy(&t.source);
	image_destroy(&t.image);
}

static enum lazymem_verdict poison_on_demand(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	atomic_fetch_add(&t.calls, 1);
	return failure->demand ? LAZYMEM_POISON : LAZYMEM_RETRY;
}

static bool was_called(void *unused)
{
	(void)unused;
	return atomic_load(&t.calls) > 0;
}

static void test_a_fault_during_the_pause_of_a_prefetch_is_demand(void **state)
{
	struct actor actor;

	(void)state;
	begin(poison_on_demand);
	source_fail(&t.source, 0, PAGE, -EIO, UINT64_MAX);
	assert_ok(lazymem_mapping_prefetch(t.guest.mapping, 0, PAGE));
	assert_true(await(was_called, NULL));
	actor_start(&actor, touch, t.guest.host);
	assert_int_equal(actor_join(&actor), SIGNALLED + SIGBUS);
	end();
}

static void test_a_fault_during_the_read_of_a_prefetch_is_demand(void **state)
{
	struct actor actor;

	(void)state;
	begin(poison_on_demand);
	source_hold(&t.source, 0, PAGE);
	assert_ok(lazymem_mapping_prefetch(t.guest.mapping, 0, PAGE));
	assert_true(source_await_held(&t.source, 1));
	actor_start(&actor, touch, t.guest.host);
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_fail(&t.source, 0, PAGE, -EIO, UINT64_MAX);
	source_release(&t.source);
	assert_int_equal(actor_join(&actor), SIGNALLED + SIGBUS);
	end();
}

/* ---- calls of a callback ------------------------------------------------- */

static enum lazymem_verdict call_and_poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	atomic_store(&t.answer, t.call());
	return LAZYMEM_POISON;
}

static int prefetch_attachment(void)
{
	return lazymem_attachment_prefetch(t.other, NULL);
}

static int prefetch_mapping(void)
{
	return lazymem_mapping_prefetch(t.mapping, 0, PAGE);
}

static int wait_for_prefetch(void)
{
	return lazymem_attachment_wait(t.other, UINT64_MAX);
}

static int discard_mapping(void)
{
	return lazymem_mapping_discard(t.mapping, 0, PAGE);
}

static int discard_memory(void)
{
	return lazymem_memory_discard(t.guest.memory, guest_address(PAGE), PAGE);
}

static int attach(void)
{
	struct lazymem_attachment *attachment;

	return lazymem_handler_attach(t.guest.handler, t.memory, NULL, &attachment);
}

static void expect_deadlock(int (*call)(void))
{
	struct actor actor;

	t.call = call;
	begin(call_and_poison);
	source_fail(&t.source, 0, PAGE, -EIO, 1);
	actor_start(&actor, touch, t.guest.host);
	assert_int_equal(actor_join(&actor), SIGNALLED + SIGBUS);
	assert_int_equal(atomic_load(&t.answer), -EDEADLK);
	assert_int_equal(touch(t.guest.host + PAGE), t.image.bytes[PAGE]);
	assert_int_equal(touch(lazymem_mapping_span(t.mapping).host), t.image.bytes[0]);
	end();
}

#define CALL(name)                                                                                 \
	static void test_##name##_in_a_callback_is_refused(void **state)                           \
	{                                                                                          \
		(void)state;                                                                       \
		expect_deadlock(name);                                                             \
	}

CALL(prefetch_attachment)
CALL(prefetch_mapping)
CALL(wait_for_prefetch)
CALL(discard_mapping)
CALL(discard_memory)
CALL(attach)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_fault_during_the_pause_of_a_prefetch_is_demand),
		TEST(test_a_fault_during_the_read_of_a_prefetch_is_demand),
		TEST(test_prefetch_attachment_in_a_callback_is_refused),
		TEST(test_prefetch_mapping_in_a_callback_is_refused),
		TEST(test_wait_for_prefetch_in_a_callback_is_refused),
		TEST(test_discard_mapping_in_a_callback_is_refused),
		TEST(test_discard_memory_in_a_callback_is_refused),
		TEST(test_attach_in_a_callback_is_refused),
	};

	require_faults();
	return run_group(tests);
}
