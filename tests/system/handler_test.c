/* SPDX-License-Identifier: MIT
 *
 * handler_test.c - several guests on one handler, on one worker or two; they
 * do not disturb each other, and the handler outlives them.
 */
#include <errno.h>
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>

#define LENGTH (4 * MIB)
#define GUESTS 6u

struct party {
	struct lazymem_handler *handler;
	struct image images[GUESTS];
	struct source sources[GUESTS];
	struct guest guests[GUESTS];
};

static void begin(struct party *p, unsigned workers, enum memory_kind kind)
{
	struct lazymem_handler_options options = {.size = sizeof(options), .workers = workers};

	assert_ok(lazymem_handler_create(&options, &p->handler));
	for (unsigned i = 0; i < GUESTS; i++) {
		image_create(&p->images[i], LENGTH, "ddzh", 100 + i);
		source_create(&p->sources[i], &p->images[i]);
		guest_map(&p->guests[i], kind, LENGTH, 0, p->sources[i].backing);
		assert_ok(lazymem_handler_attach(p->handler, p->guests[i].memory, NULL,
						 &p->guests[i].attachment));
	}
}

static void end(struct party *p)
{
	for (unsigned i = 0; i < GUESTS; i++) {
		guest_end(&p->guests[i]); /* destroys no handler: it has none of its own */
		source_destroy(&p->sources[i]);
		image_destroy(&p->images[i]);
	}
	assert_ok(lazymem_handler_destroy(p->handler));
}

static void test_each_guest_gets_the_bytes_of_its_own_image(void **state)
{
	for (unsigned workers = 1; workers <= 2; workers++) {
		struct party p;

		begin(&p, workers, kind_of(state));
		for (size_t at = 0; at < LENGTH; at += p.guests[0].page)
			for (unsigned i = 0; i < GUESTS; i++)
				assert_true(image_matches(&p.images[i], at, p.guests[i].host + at,
							  p.guests[i].page));
		end(&p);
	}
}

struct visit {
	struct guest *guest;
	struct image *image;
};

static int visit_all(void *argument)
{
	struct visit *visit = argument;

	for (size_t at = 0; at < LENGTH; at += PAGE)
		if (visit->guest->host[at + 8] != visit->image->bytes[at + 8])
			return -1;
	return 0;
}

static void test_guests_may_run_at_the_same_time(void **state)
{
	struct party p;
	struct visit visits[GUESTS];
	struct actor actors[GUESTS];

	begin(&p, 2, kind_of(state));
	for (unsigned i = 0; i < GUESTS; i++) {
		visits[i] = (struct visit){&p.guests[i], &p.images[i]};
		assert_ok(lazymem_attachment_prefetch(p.guests[i].attachment, NULL));
		actor_start(&actors[i], visit_all, &visits[i]);
	}
	for (unsigned i = 0; i < GUESTS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	for (unsigned i = 0; i < GUESTS; i++)
		guest_finish(&p.guests[i]);
	end(&p);
}

static void test_a_guest_that_is_let_go_leaves_the_others_served(void **state)
{
	struct party p;

	begin(&p, 1, kind_of(state));
	lazymem_attachment_abort(p.guests[0].attachment);
	p.guests[0].attachment = NULL;
	assert_int_equal(touch(p.guests[0].host), SIGNALLED + SIGBUS);
	assert_true(image_matches(&p.images[1], 0, p.guests[1].host, LENGTH));
	guest_finish(&p.guests[1]);
	assert_true(image_matches(&p.images[2], 0, p.guests[2].host, LENGTH));
	end(&p);
}

static void test_a_source_that_hangs_holds_up_the_faults_of_its_own_guest_only(void **state)
{
	struct party p;
	struct actor actor;

	begin(&p, 1, kind_of(state));
	source_hold(&p.sources[0], 0, LENGTH);
	assert_ok(lazymem_attachment_prefetch(p.guests[0].attachment, NULL));
	actor_start(&actor, touch, p.guests[0].host + LENGTH - BLOCK);
	assert_true(source_await_held(&p.sources[0], 1));
	assert_true(image_matches(&p.images[1], 0, p.guests[1].host, LENGTH));
	source_release(&p.sources[0]);
	assert_int_equal(actor_join(&actor), p.images[0].bytes[LENGTH - BLOCK]);
	end(&p);
}

static void test_a_handler_with_a_guest_cannot_be_destroyed(void **state)
{
	struct party p;

	begin(&p, 1, kind_of(state));
	assert_refused(lazymem_handler_destroy(p.handler), -EBUSY, "");
	assert_true(image_matches(&p.images[0], 0, p.guests[0].host, LENGTH));
	end(&p);
}

static void test_destroying_no_handler_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(lazymem_handler_destroy(NULL), 0);
}

static void test_there_are_as_many_threads_as_asked_for(void **state)
{
	(void)state;
	for (unsigned workers = 1; workers <= 3; workers++) {
		struct lazymem_handler_options options = {.size = sizeof(options),
							  .workers = workers};
		struct lazymem_handler *handler;
		struct residue before = residue_now();

		assert_ok(lazymem_handler_create(&options, &handler));
		assert_int_equal(residue_now().threads, before.threads + workers);
		assert_ok(lazymem_handler_destroy(handler));
		assert_int_equal(residue_now().threads, before.threads);
	}
}

static void test_workers_take_no_signals(void **state)
{
	struct lazymem_handler *handler;

	(void)state;
	assert_ok(lazymem_handler_create(NULL, &handler));
	assert_other_threads_take_no_signals();
	assert_ok(lazymem_handler_destroy(handler));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_each_guest_gets_the_bytes_of_its_own_image),
		TEST_EACH_KIND(test_guests_may_run_at_the_same_time),
		TEST_EACH_KIND(test_a_guest_that_is_let_go_leaves_the_others_served),
		TEST_EACH_KIND(test_a_source_that_hangs_holds_up_the_faults_of_its_own_guest_only),
		TEST(test_a_handler_with_a_guest_cannot_be_destroyed),
		TEST(test_destroying_no_handler_is_allowed),
		TEST(test_there_are_as_many_threads_as_asked_for),
		TEST(test_workers_take_no_signals),
	};

	require_faults();
	require_hugetlb(BLOCK, GUESTS * LENGTH / BLOCK);
	return run_group(tests);
}
