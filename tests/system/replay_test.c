/* SPDX-License-Identifier: MIT
 *
 * replay_test.c - a working set that is replayed from a source that takes reads
 * in parts: what comes in one read, what becomes of it when something happens
 * meanwhile, where it ends, and which trace is taken.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>

#define LENGTH (16 * MIB)
#define IDENTITY 7
#define MOST_RANGES (LENGTH / PAGE)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_guest_range ranges[MOST_RANGES];
	size_t range_count;
};

static const struct source_options in_parts = {.takes_parts = true, .identity = IDENTITY};

static void begin_as(struct fixture *f, enum memory_kind kind, const char *layout, uint64_t length,
		     struct source_options options)
{
	image_create(&f->image, length, layout, 21);
	source_create_with(&f->source, &f->image, options);
	guest_start(&f->guest, kind, LENGTH, f->source.backing);
	f->range_count = 0;
}

static struct fixture *begin(enum memory_kind kind, const char *layout)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	begin_as(f, kind, layout, LENGTH, in_parts);
	return f;
}

static void end(struct fixture *f)
{
	if (f->guest.handler)
		guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
	free(f);
}

/* ---- working sets */

/* The next pages, of the guest's size, that a replay is to bring. */
static void add(struct fixture *f, size_t page, size_t count)
{
	assert_true(f->range_count < MOST_RANGES);
	f->ranges[f->range_count++] = (struct lazymem_guest_range){
		guest_address(page * f->guest.page), count * f->guest.page};
}

/* Every second page, from the last one on downwards. Returns how many. */
static size_t add_every_second(struct fixture *f)
{
	size_t pages = f->guest.length / f->guest.page;

	for (size_t page = pages; page >= 2; page -= 2)
		add(f, page - 1, 1);
	return pages / 2;
}

static struct lazymem_prefetch prefetch_of(const struct fixture *f)
{
	return (struct lazymem_prefetch){.size = sizeof(struct lazymem_prefetch),
					 .ranges = f->ranges,
					 .range_count = f->range_count};
}

static void start(struct fixture *f)
{
	struct lazymem_prefetch prefetch = prefetch_of(f);

	assert_ok(lazymem_attachment_prefetch(f->guest.attachment, &prefetch));
}

static void await_replay(struct fixture *f)
{
	assert_ok(lazymem_attachment_wait(f->guest.attachment, SOON_NS));
}

static void replay(struct fixture *f)
{
	start(f);
	await_replay(f);
}

static bool arrived(struct fixture *f, size_t page, size_t count)
{
	return image_matches(&f->image, page * f->guest.page, f->guest.host + page * f->guest.page,
			     count * f->guest.page);
}

static bool all_arrived(struct fixture *f)
{
	for (size_t i = 0; i < f->range_count; i++)
		if (!arrived(f, (f->ranges[i].start.value - GUEST_BASE) / f->guest.page,
			     f->ranges[i].length / f->guest.page))
			return false;
	return true;
}

/* ---- what comes in one read ---------------------------------------------- */

static void test_scattered_pages_come_in_few_reads(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t pages = add_every_second(f);

	replay(f);
	/* the first five are smaller */
	assert_true(source_reads(&f->source) <= pages * PAGE / (256 * 1024) + 6);
	assert_int_equal(source_part_reads(&f->source), source_reads(&f->source));
	assert_true(all_arrived(f));
	struct lazymem_statistics s = statistics_at_rest(f->guest.attachment);
	assert_int_equal(s.faults, 0);
	assert_int_equal(s.pages_prefetched, pages);
	assert_int_equal(s.pages_populated, pages);
	assert_int_equal(s.reads, source_reads(&f->source));
	assert_int_equal(s.bytes_read, pages * PAGE);
	assert_int_equal(s.retries, 0);
	end(f);
}

/* Whoever starts together with a replay waits for its first 16 KiB, and not for
 * a whole piece; each read has as much as all before it then. */
static void test_the_first_reads_are_small(void **state)
{
	static const size_t most[] = {4, 8, 16, 32, 64, 128};

	for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
		struct fixture *f = begin(kind_of(state), "d");

		for (size_t page = 0; page < most[i]; page++)
			add(f, 2 * page, 1);
		replay(f);
		assert_int_equal(source_reads(&f->source), i + 1);
		assert_true(all_arrived(f));
		end(f);
	}
}

static void test_nothing_else_is_read(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t page = f->guest.page;

	add_every_second(f);
	replay(f);
	for (size_t at = 0; at < LENGTH; at += page)
		assert_int_equal(source_most_reads(&f->source, at, page), at / page % 2);
	end(f);
}

static void test_pages_named_more_than_once_are_read_once(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");

	add(f, 3, 2);
	add(f, 4, 2);
	add(f, 3, 1);
	add(f, 0, 8);
	add(f, 0, 8);
	replay(f);
	assert_int_equal(source_most_reads(&f->source, 0, LENGTH), 1);
	assert_true(all_arrived(f));
	assert_int_equal(statistics_at_rest(f->guest.attachment).pages_prefetched, 8);
	end(f);
}

static void test_holes_and_zeros_in_between_arrive(void **state)
{
	struct fixture *f = begin(kind_of(state), "dhdzhhd");

	assert_ok(lazymem_attachment_prefetch(f->guest.attachment, NULL));
	await_replay(f);
	assert_true(image_matches(&f->image, 0, f->guest.host, LENGTH));
	struct lazymem_statistics s = statistics_at_rest(f->guest.attachment);
	assert_int_equal(s.faults, 0);
	assert_int_equal(s.pages_populated, LENGTH / f->guest.page);
	assert_true(source_most_reads(&f->source, 0, LENGTH) <= 1);
	end(f);
}

static void test_the_last_page_of_an_object_that_ends_inside_it_arrives(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	begin_as(f, kind_of(state), "d", LENGTH - 100, in_parts);
	size_t last = LENGTH / f->guest.page - 1;
	add(f, last - 2, 3);
	add(f, 0, 1);
	replay(f);
	assert_true(image_matches(&f->image, 0, f->guest.host, f->guest.page));
	size_t known = 3 * f->guest.page - 100;
	unsigned char *at = f->guest.host + LENGTH - 3 * f->guest.page;
	assert_true(image_matches(&f->image, LENGTH - 3 * f->guest.page, at, known));
	assert_true(all_zero(at + known, 100));
	assert_int_equal(statistics_at_rest(f->guest.attachment).faults, 0);
	end(f);
}

static void test_poisoned_pages_of_it_are_healed(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t page = f->guest.page;

	source_fail(&f->source, 2 * page, page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f->guest.host + 2 * page), SIGNALLED + SIGBUS);
	source_fail(&f->source, 0, 0, 0, 0);
	for (size_t i = 0; i < 6; i++)
		add(f, i, 1);
	replay(f);
	assert_true(arrived(f, 0, 6));
	assert_int_equal(statistics_at_rest(f->guest.attachment).pages_poisoned, 0);
	end(f);
}

/* ---- faults meanwhile ---------------------------------------------------- */

#define THREADS 8u

static void test_faults_that_join_are_woken_when_it_is_there(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	struct actor actors[THREADS];
	size_t page = f->guest.page;

	for (size_t i = 0; i < 3; i++)
		add(f, 2 * i, 1);
	source_hold(&f->source, 0, LENGTH);
	start(f);
	/* All of it: one gather, or three pages that are larger than one. */
	assert_true(source_await_held(&f->source, kind_of(state) == HUGETLB ? 3 : 1));
	for (size_t i = 0; i < THREADS; i++)
		actor_start(&actors[i], touch, f->guest.host + i % 3 * 2 * page + 3);
	for (size_t i = 0; i < THREADS; i++)
		assert_false(actor_is_done(&actors[i], QUIET_MS / 10));
	source_release(&f->source);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(actor_join(&actors[i]), f->image.bytes[i % 3 * 2 * page + 3]);
	await_replay(f);
	assert_int_equal(source_most_reads(&f->source, 0, LENGTH), 1);
	struct lazymem_statistics s = statistics_at_rest(f->guest.attachment);
	/* None was read for a fault; a thread that was slow to start found its page there. */
	assert_int_equal(s.copied + s.zeroed + s.failed, 0);
	assert_int_equal(s.pages_prefetched, 3);
	end(f);
}

/* A thread that waits for a page in between would only fault again. */
static void test_who_waits_for_a_page_in_between_sleeps_on(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t page = f->guest.page, middle = LENGTH / page / 2 + 2;
	struct lazymem_statistics s = {.size = sizeof(s)};
	struct actor actor;

	add_every_second(f);
	source_hold(&f->source, middle * page, page);
	actor_start(&actor, touch, f->guest.host + middle * page);
	assert_true(source_await_held(&f->source, 1));
	replay(f);
	assert_ok(lazymem_attachment_statistics(f->guest.attachment, &s));
	assert_int_equal(s.faults, 1);
	source_release(&f->source);
	assert_int_equal(actor_join(&actor), f->image.bytes[middle * page]);
	assert_int_equal(statistics_at_rest(f->guest.attachment).faults, 1);
	end(f);
}

struct toucher {
	struct fixture *f;
	uint64_t seed;
};

/* Touch every page, in an order of its own; how many were wrong. */
static int touch_all(void *argument)
{
	struct toucher *toucher = argument;
	struct fixture *f = toucher->f;
	size_t pages = LENGTH / f->guest.page, at = next_random(&toucher->seed) % pages;
	int wrong = 0;

	for (size_t i = 0; i < pages; i++) {
		size_t byte = at * f->guest.page + 9;

		wrong += touch(f->guest.host + byte) != f->image.bytes[byte];
		at = (at + 1031) % pages; /* prime, so all come by */
	}
	return wrong;
}

static void test_threads_that_race_a_replay_read_what_is_right(void **state)
{
	uint64_t seed = harness_seed();

	for (unsigned round = 0; round < 4; round++) {
		struct fixture *f = begin(kind_of(state), "dddh");
		struct toucher touchers[THREADS];
		struct actor actors[THREADS];

		add_every_second(f);
		for (size_t i = 0; i < THREADS; i++) {
			touchers[i] = (struct toucher){f, next_random(&seed)};
			actor_start(&actors[i], touch_all, &touchers[i]);
		}
		replay(f);
		for (size_t i = 0; i < THREADS; i++)
			assert_int_equal(actor_join(&actors[i]), 0);
		assert_int_equal(source_most_reads(&f->source, 0, LENGTH), 1);
		assert_int_equal(statistics_at_rest(f->guest.attachment).pages_populated,
				 LENGTH / f->guest.page);
		end(f);
	}
}

/* ---- what may happen while a read is in flight --------------------------- */

static void test_pages_discarded_meanwhile_read_as_zeros(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t page = f->guest.page;

	for (size_t i = 0; i < 4; i++)
		add(f, 2 * i, 1);
	source_hold(&f->source, 0, LENGTH);
	start(f);
	assert_true(source_await_held(&f->source, 1));
	assert_ok(lazymem_mapping_discard(f->guest.mapping, 2 * page, page));
	source_release(&f->source);
	await_replay(f);
	assert_true(all_zero(f->guest.host + 2 * page, page));
	assert_true(arrived(f, 0, 1));
	assert_true(arrived(f, 4, 1));
	assert_true(arrived(f, 6, 1));
	end(f);
}

static void test_discards_that_race_a_replay_win(void **state)
{
	uint64_t seed = harness_seed();

	for (unsigned round = 0; round < 8; round++) {
		struct fixture *f = begin(kind_of(state), "dddddh");
		size_t page = f->guest.page, pages = LENGTH / page;
		bool *discarded = calloc(pages, sizeof(*discarded));

		assert_non_null(discarded);
		add_every_second(f);
		start(f);
		for (size_t i = 0; i < pages / 4; i++) {
			size_t at = next_random(&seed) % pages;

			assert_ok(lazymem_mapping_discard(f->guest.mapping, at * page, page));
			discarded[at] = true;
		}
		await_replay(f);
		for (size_t at = 0; at < pages; at++)
			assert_true(discarded[at] ? all_zero(f->guest.host + at * page, page)
						  : arrived(f, at, 1));
		free(discarded);
		end(f);
	}
}

static void test_a_read_that_fails_once_loses_nothing(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");

	add_every_second(f);
	source_fail(&f->source, f->guest.page, LENGTH - f->guest.page, -EIO, 1);
	replay(f);
	assert_true(all_arrived(f));
	struct lazymem_statistics s = statistics_at_rest(f->guest.attachment);
	assert_int_equal(s.faults, 0);
	assert_true(s.retries > 0);
	assert_int_equal(s.reads, source_reads(&f->source));
	end(f);
}

static void test_a_page_that_cannot_be_read_takes_no_other_with_it(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	size_t page = f->guest.page, bad = 3;

	for (size_t i = 0; i < 7; i++)
		add(f, i, 1);
	source_fail(&f->source, bad * page, page, -EIO, UINT64_MAX);
	replay(f);
	assert_true(arrived(f, 0, bad));
	assert_true(arrived(f, bad + 1, 6 - bad));
	assert_int_equal(statistics_at_rest(f->guest.attachment).faults, 0);
	assert_int_equal(touch(f->guest.host + bad * page), SIGNALLED + SIGBUS);
	end(f);
}

static int finish(void *argument)
{
	return lazymem_attachment_finish(argument);
}

static int abort_it(void *argument)
{
	lazymem_attachment_abort(argument);
	return 0;
}

static void test_a_finish_waits_for_it_and_loses_nothing(void **state)
{
	struct fixture *f = begin(kind_of(state), "dhd");
	struct actor actor;

	add_every_second(f);
	source_hold(&f->source, 0, LENGTH);
	start(f);
	assert_true(source_await_held(&f->source, 1));
	actor_start(&actor, finish, f->guest.attachment);
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_release(&f->source);
	assert_int_equal(actor_join(&actor), 0);
	f->guest.attachment = NULL;
	assert_true(image_matches(&f->image, 0, f->guest.host, LENGTH));
	end(f);
}

/* Nothing that was not read may be read as anything. */
static void test_an_abort_waits_for_it_and_leaves_no_false_zero(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	struct actor actor;

	add_every_second(f);
	source_hold(&f->source, 0, LENGTH);
	start(f);
	assert_true(source_await_held(&f->source, 1));
	actor_start(&actor, abort_it, f->guest.attachment);
	assert_false(actor_is_done(&actor, QUIET_MS));
	source_fail(&f->source, 0, LENGTH, -EIO, 1);
	source_release(&f->source);
	assert_int_equal(actor_join(&actor), 0);
	f->guest.attachment = NULL;
	for (size_t at = 1; at < LENGTH; at += f->guest.page) {
		int byte = touch(f->guest.host + at);

		assert_true(byte == SIGNALLED + SIGBUS || byte == f->image.bytes[at]);
	}
	end(f);
}

/* ---- several at once ----------------------------------------------------- */

static void test_a_source_that_hangs_keeps_no_other_guest_from_going_on(void **state)
{
	struct fixture *stuck = begin(kind_of(state), "d"), *other = malloc(sizeof(*other));

	assert_non_null(other);
	other->range_count = 0;
	image_create(&other->image, LENGTH, "d", 22);
	source_create_with(&other->source, &other->image, in_parts);
	guest_map(&other->guest, kind_of(state), LENGTH, 0, other->source.backing);
	assert_ok(lazymem_handler_attach(stuck->guest.handler, other->guest.memory, NULL,
					 &other->guest.attachment));
	source_hold(&stuck->source, 0, LENGTH);
	add_every_second(stuck);
	start(stuck);
	/* As many as there can be. */
	assert_true(source_await_held(&stuck->source, 3));

	add_every_second(other);
	replay(other);
	assert_true(all_arrived(other));
	assert_true(arrived(other, 0, 1)); /* a fault */
	assert_int_equal(lazymem_attachment_wait(stuck->guest.attachment, 0), -ETIMEDOUT);
	source_release(&stuck->source);
	await_replay(stuck);
	assert_true(all_arrived(stuck));

	statistics_at_rest(other->guest.attachment);
	lazymem_attachment_abort(other->guest.attachment);
	lazymem_memory_unref(other->guest.memory);
	lazymem_mapping_unref(other->guest.mapping);
	other->guest.handler = NULL;
	end(other);
	end(stuck);
}

#define REGIONS 3u

/* Regions side by side, whose bytes lie one after the other in one object, or
 * begin anew in one each, of which some take no parts. */
static void replay_regions(enum memory_kind kind, bool one_object)
{
	const size_t length = 8 * page_size_of(kind), page = page_size_of(kind);
	struct image image;
	struct source sources[REGIONS];
	struct lazymem_mapping *mappings[REGIONS];
	struct lazymem_region *regions[REGIONS];
	struct lazymem_guest_range ranges[3 * REGIONS];
	struct lazymem_handler *handler;
	struct lazymem_memory *memory;
	struct lazymem_attachment *attachment;

	image_create(&image, REGIONS * length, "dd", 23);
	for (size_t i = 0; i < REGIONS; i++) {
		struct guest guest;

		source_create_with(&sources[i], &image,
				   (struct source_options){.takes_parts = one_object || i != 1});
		guest_map(&guest, kind, length, 0, sources[i].backing);
		mappings[i] = guest.mapping;
		lazymem_memory_unref(guest.memory);
		assert_ok(lazymem_region_create(mappings[i], guest_address(i * length),
						sources[one_object ? 0 : i].backing, i * length,
						&regions[i]));
		for (size_t j = 0; j < 3; j++) /* back and forth */
			ranges[3 * j + i] = (struct lazymem_guest_range){
				guest_address(i * length + (2 * j + 1) * page), page};
	}
	assert_ok(lazymem_memory_create(regions, REGIONS, &memory));
	assert_ok(lazymem_handler_create(NULL, &handler));
	assert_ok(lazymem_handler_attach(handler, memory, NULL, &attachment));
	struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = ranges, .range_count = 3 * REGIONS};
	assert_ok(lazymem_attachment_prefetch(attachment, &prefetch));
	assert_ok(lazymem_attachment_wait(attachment, SOON_NS));
	for (size_t i = 0; i < REGIONS; i++) {
		unsigned char *host = lazymem_mapping_span(mappings[i]).host;

		for (size_t j = 0; j < 3; j++)
			assert_true(image_matches(&image, i * length + (2 * j + 1) * page,
						  host + (2 * j + 1) * page, page));
	}
	struct lazymem_statistics s = statistics_at_rest(attachment);
	assert_int_equal(s.faults, 0);
	assert_int_equal(s.pages_prefetched, 3 * REGIONS);
	if (one_object && kind != HUGETLB)
		assert_true(source_reads(&sources[0]) <= 3); /* 16 KiB, as much again, the rest */

	lazymem_attachment_abort(attachment);
	assert_ok(lazymem_handler_destroy(handler));
	lazymem_memory_unref(memory);
	for (size_t i = 0; i < REGIONS; i++) {
		lazymem_region_unref(regions[i]);
		lazymem_mapping_unref(mappings[i]);
	}
	for (size_t i = 0; i < REGIONS; i++)
		source_destroy(&sources[i]);
	image_destroy(&image);
}

static void test_regions_of_one_object_are_replayed_together(void **state)
{
	replay_regions(kind_of(state), true);
}

static void test_regions_of_several_objects_are_replayed(void **state)
{
	replay_regions(kind_of(state), false);
}

/* ---- limits -------------------------------------------------------------- */

static bool a_rate_is_kept(void *argument)
{
	struct fixture *f = begin(*(const enum memory_kind *)argument, "d");

	add_every_second(f);
	struct lazymem_prefetch prefetch = prefetch_of(f);
	prefetch.bytes_per_second = LENGTH;
	uint64_t before = now_ns();
	assert_ok(lazymem_attachment_prefetch(f->guest.attachment, &prefetch));
	await_replay(f);
	uint64_t took = now_ns() - before;
	assert_true(took > MILLISECONDS(300)); /* half of it at a whole one a second */
	assert_true(all_arrived(f));
	end(f);
	return took < SECONDS(3) * TIME_SCALE;
}

static void test_a_rate_is_kept(void **state)
{
	enum memory_kind kind = kind_of(state);

	assert_true(holds_once(a_rate_is_kept, &kind));
}

/* Two ranges of two pages each, apart, with limits: pages that are populated
 * and that are read ahead then. */
static void expect_limits(enum memory_kind kind, uint64_t populate, uint64_t total,
			  size_t populated, size_t ahead)
{
	static const size_t order[] = {5, 6, 1, 2};
	struct fixture *f = begin(kind, "d");
	size_t page = f->guest.page;

	add(f, 5, 2);
	add(f, 1, 2);
	struct lazymem_prefetch prefetch = prefetch_of(f);
	prefetch.populate_bytes = populate;
	prefetch.total_bytes = total;
	assert_ok(lazymem_attachment_prefetch(f->guest.attachment, &prefetch));
	await_replay(f);
	assert_int_equal(statistics_at_rest(f->guest.attachment).pages_populated, populated);
	assert_int_equal(source_hinted(&f->source), ahead * page / PAGE);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(source_most_reads(&f->source, order[i] * page, page),
				 i < populated);
		assert_int_equal(source_most_hints(&f->source, order[i] * page, page),
				 i >= populated && i < populated + ahead);
	}
	assert_true(arrived(f, 0, 8)); /* faults bring the rest */
	end(f);
}

static void test_pages_beyond_populate_bytes_are_read_ahead_only(void **state)
{
	enum memory_kind kind = kind_of(state);
	size_t page = page_size_of(kind);

	expect_limits(kind, 1, 0, 1, 3);
	expect_limits(kind, page, 0, 1, 3);
	expect_limits(kind, page + 1, 0, 2, 2);
	expect_limits(kind, 2 * page, 0, 2, 2);
	expect_limits(kind, 2 * page + 1, 0, 3, 1);
	expect_limits(kind, 4 * page - 1, 0, 4, 0);
	expect_limits(kind, UINT64_MAX, 0, 4, 0);
}

static void test_nothing_comes_beyond_total_bytes(void **state)
{
	enum memory_kind kind = kind_of(state);
	size_t page = page_size_of(kind);

	expect_limits(kind, 0, 1, 1, 0);
	expect_limits(kind, 0, 2 * page, 2, 0);
	expect_limits(kind, 0, 2 * page + 1, 3, 0);
	expect_limits(kind, 0, UINT64_MAX, 4, 0);
	expect_limits(kind, page, 3 * page - 1, 1, 2);
	expect_limits(kind, 3 * page, 2 * page, 2, 0);
}

static void test_everything_can_be_limited(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch),
					    .populate_bytes = f->guest.page,
					    .total_bytes = 3 * f->guest.page};

	assert_ok(lazymem_attachment_prefetch(f->guest.attachment, &prefetch));
	await_replay(f);
	assert_int_equal(statistics_at_rest(f->guest.attachment).pages_populated, 1);
	assert_int_equal(source_hinted(&f->source), 2 * f->guest.page / PAGE);
	end(f);
}

/* ---- which trace is taken ------------------------------------------------ */

static struct lazymem_trace *trace_bound_to(struct fixture *f, unsigned char byte)
{
	struct lazymem_identity identity;
	struct lazymem_trace *trace;

	memset(&identity, byte, sizeof(identity));
	assert_ok(lazymem_trace_create(PAGE, &trace));
	for (size_t i = 0; i < f->range_count; i++)
		assert_ok(lazymem_trace_append(trace, f->ranges[i]));
	lazymem_trace_bind(trace, &identity);
	return trace;
}

static int replay_trace(struct fixture *f, const struct lazymem_trace *trace)
{
	struct lazymem_prefetch prefetch = {.size = sizeof(prefetch), .trace = trace};

	return lazymem_attachment_prefetch(f->guest.attachment, &prefetch);
}

static void test_a_trace_of_this_image_is_taken(void **state)
{
	static const unsigned char taken[] = {IDENTITY, 0}; /* 0: of no image */

	for (size_t i = 0; i < 2; i++) {
		struct fixture *f = begin(kind_of(state), "d");
		add(f, 3, 2);
		add(f, 1, 1);
		struct lazymem_trace *trace = trace_bound_to(f, taken[i]);

		assert_ok(replay_trace(f, trace));
		lazymem_trace_destroy(trace);
		await_replay(f);
		assert_true(all_arrived(f));
		assert_int_equal(statistics_at_rest(f->guest.attachment).faults, 0);
		end(f);
	}
}

static void test_a_trace_of_another_image_is_refused_and_the_restore_goes_on(void **state)
{
	struct fixture *f = begin(kind_of(state), "d");

	add(f, 3, 2);
	struct lazymem_trace *trace = trace_bound_to(f, IDENTITY + 1);
	assert_refused(replay_trace(f, trace), -ESTALE, "another image");
	lazymem_trace_destroy(trace);
	await_replay(f); /* nothing is queued */
	assert_int_equal(source_reads(&f->source), 0);
	assert_true(arrived(f, 3, 2));
	guest_finish(&f->guest);
	assert_true(image_matches(&f->image, 0, f->guest.host, LENGTH));
	end(f);
}

static void test_a_bound_trace_is_refused_where_the_image_is_not_known(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	assert_non_null(f);
	begin_as(f, kind_of(state), "d", LENGTH, (struct source_options){.takes_parts = true});
	add(f, 3, 2);
	struct lazymem_trace *trace = trace_bound_to(f, IDENTITY);
	assert_refused(replay_trace(f, trace), -ESTALE, "cannot be told");
	lazymem_trace_destroy(trace);
	assert_true(arrived(f, 3, 2));
	end(f);
}

/* Record a run of this source; what its trace is bound to. */
static struct lazymem_identity recorded_identity(enum memory_kind kind, unsigned char identity)
{
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_RECORD};
	struct lazymem_identity bound;
	struct lazymem_trace *trace;
	struct image image;
	struct source source;
	struct guest guest;

	image_create(&image, LENGTH, "d", 24);
	source_create_with(&source, &image, (struct source_options){.identity = identity});
	guest_map(&guest, kind, LENGTH, 0, source.backing);
	guest_attach(&guest, NULL, &options);
	touch(guest.host);
	statistics_at_rest(guest.attachment);
	assert_ok(lazymem_attachment_trace(guest.attachment, &trace));
	bound = lazymem_trace_identity(trace);
	lazymem_trace_destroy(trace);
	guest_end(&guest);
	source_destroy(&source);
	image_destroy(&image);
	return bound;
}

static void test_a_recorded_trace_is_bound_to_its_image(void **state)
{
	static const struct lazymem_identity none;
	struct lazymem_identity expected, bound = recorded_identity(kind_of(state), IDENTITY);

	memset(&expected, IDENTITY, sizeof(expected));
	assert_memory_equal(&bound, &expected, sizeof(bound));
	bound = recorded_identity(kind_of(state), 0);
	assert_memory_equal(&bound, &none, sizeof(bound));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NAMED(test_scattered_pages_come_in_few_reads, "few_reads (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_scattered_pages_come_in_few_reads, "few_reads (memfd)", MEMFD),
		TEST(test_the_first_reads_are_small),
		TEST_EACH_KIND(test_nothing_else_is_read),
		TEST_EACH_KIND(test_pages_named_more_than_once_are_read_once),
		TEST_EACH_KIND(test_holes_and_zeros_in_between_arrive),
		TEST_EACH_KIND(test_the_last_page_of_an_object_that_ends_inside_it_arrives),
		TEST_EACH_KIND(test_poisoned_pages_of_it_are_healed),
		TEST_EACH_KIND(test_faults_that_join_are_woken_when_it_is_there),
		TEST_EACH_KIND(test_who_waits_for_a_page_in_between_sleeps_on),
		TEST_EACH_KIND(test_threads_that_race_a_replay_read_what_is_right),
		TEST_EACH_KIND(test_pages_discarded_meanwhile_read_as_zeros),
		TEST_EACH_KIND(test_discards_that_race_a_replay_win),
		TEST_EACH_KIND(test_a_read_that_fails_once_loses_nothing),
		TEST_EACH_KIND(test_a_page_that_cannot_be_read_takes_no_other_with_it),
		TEST_EACH_KIND(test_a_finish_waits_for_it_and_loses_nothing),
		TEST_EACH_KIND(test_an_abort_waits_for_it_and_leaves_no_false_zero),
		TEST_EACH_KIND(test_a_source_that_hangs_keeps_no_other_guest_from_going_on),
		TEST_EACH_KIND(test_regions_of_one_object_are_replayed_together),
		TEST_EACH_KIND(test_regions_of_several_objects_are_replayed),
		TEST_EACH_KIND(test_a_rate_is_kept),
		TEST_EACH_KIND(test_pages_beyond_populate_bytes_are_read_ahead_only),
		TEST_EACH_KIND(test_nothing_comes_beyond_total_bytes),
		TEST_EACH_KIND(test_everything_can_be_limited),
		TEST_EACH_KIND(test_a_trace_of_this_image_is_taken),
		TEST(test_a_trace_of_another_image_is_refused_and_the_restore_goes_on),
		TEST(test_a_bound_trace_is_refused_where_the_image_is_not_known),
		TEST(test_a_recorded_trace_is_bound_to_its_image),
	};

	require_faults();
	require_hugetlb(BLOCK, REGIONS * LENGTH / BLOCK);
	return run_group(tests);
}
