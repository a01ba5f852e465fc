/* SPDX-License-Identifier: MIT
 *
 * fairness_test.c - what is done to a very large guest holds up no fault of
 * another one that the same worker serves.
 */
#include <lazymem/zero.h>
#include <support/actor.h>
#include <support/guest.h>

/* What must not be done in one go has to take much longer than LONGEST. */
#ifdef __SANITIZE_THREAD__
#define LARGE (16 * GIB) /* for which a page takes many times as long */
#else
#define LARGE (128 * GIB)
#endif
#define SMALL (4 * GIB) /* more pages than are touched */
#define LONGEST (MILLISECONDS(100) * TIME_SCALE)

struct fixture {
	struct lazymem_backing *zeros;
	struct guest large;
	struct lazymem_mapping *mapping;
	struct lazymem_memory *memory;
	struct lazymem_attachment *small;
};

static void begin(struct fixture *f)
{
	struct lazymem_region *region;

	assert_ok(lazymem_zero_create(LARGE, &f->zeros));
	guest_start(&f->large, ANONYMOUS, LARGE, f->zeros);
	assert_ok(lazymem_mapping_create_anonymous(SMALL, NULL, &f->mapping));
	assert_ok(lazymem_region_create(f->mapping, guest_address(0), f->zeros, 0, &region));
	assert_ok(lazymem_memory_create(&region, 1, &f->memory));
	lazymem_region_unref(region);
	assert_ok(lazymem_handler_attach(f->large.handler, f->memory, NULL, &f->small));
}

static void end(struct fixture *f)
{
	lazymem_attachment_abort(f->small);
	lazymem_memory_unref(f->memory);
	lazymem_mapping_unref(f->mapping);
	guest_end(&f->large);
	lazymem_backing_unref(f->zeros);
}

/* The longest fault of the small guest while `act` goes on. */
static uint64_t longest_during(struct fixture *f, int (*act)(void *), void *argument)
{
	unsigned char *at = lazymem_mapping_span(f->mapping).host, *last = at + SMALL;
	uint64_t longest = 0;
	struct actor actor;

	actor_start(&actor, act, argument);
	while (!actor_is_done(&actor, 1) && at < last) {
		uint64_t start = now_ns(), took;

		touch(at);
		took = now_ns() - start;
		longest = took > longest ? took : longest;
		at += MIB;
	}
	assert_int_equal(actor_join(&actor), 0);
	print_message("it took %lu ms, the longest fault meanwhile %lu us\n",
		      actor.took_ns / 1000000, longest / 1000);
	return longest;
}

static int discard_all(void *argument)
{
	return lazymem_mapping_discard(argument, 0, LARGE);
}

static bool discard_holds_up_nobody(void *unused)
{
	struct fixture f;
	uint64_t longest;

	(void)unused;
	begin(&f);
	longest = longest_during(&f, discard_all, f.large.mapping);
	end(&f);
	return longest < LONGEST;
}

static void test_a_discard_of_much_memory_holds_up_nobody(void **state)
{
	(void)state;
	assert_true(holds_once(discard_holds_up_nobody, NULL));
}

static int finish(void *argument)
{
	return lazymem_attachment_finish(argument);
}

static bool finish_holds_up_nobody(void *unused)
{
	struct fixture f;
	uint64_t longest;

	(void)unused;
	begin(&f);
	assert_ok(lazymem_mapping_discard(f.large.mapping, 0, LARGE)); /* a state for each page */
	longest = longest_during(&f, finish, f.large.attachment);
	f.large.attachment = NULL;
	end(&f);
	return longest < LONGEST;
}

static void test_a_finish_of_much_memory_holds_up_nobody(void **state)
{
	(void)state;
	assert_true(holds_once(finish_holds_up_nobody, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_discard_of_much_memory_holds_up_nobody),
		TEST(test_a_finish_of_much_memory_holds_up_nobody),
	};

	require_faults();
	return run_group(tests);
}
