/* SPDX-License-Identifier: MIT
 *
 * tracking_test.c - which pages the guest has written: told once, all of them,
 * and no others, in each of the ways that there are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/tracked.h>
#include <support/userfaultfd.h>
#include <sys/mman.h>
#include <unistd.h>

static void test_what_is_only_read_is_not_told(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 8, "dh");
	for (size_t i = 0; i < 4; i++)
		touch(tracked_page(&f, i));
	guest_prefetch(&f.guest, 4 * f.guest.page, 2 * f.guest.page);
	expect_told(&f, 0, NULL);
	touch(tracked_page(&f, 6));
	expect_told(&f, 0, NULL);
	tracked_end(&f);
}

static void test_each_write_is_told_once(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 12, "d");
	stamp(tracked_page(&f, 2)); /* missing */
	touch(tracked_page(&f, 4));
	stamp(tracked_page(&f, 4)); /* there */
	guest_prefetch(&f.guest, 7 * f.guest.page, 2 * f.guest.page);
	stamp(tracked_page(&f, 8)); /* prefetched */
	EXPECT_TOLD(&f, 2, 4, 8);
	expect_told(&f, 0, NULL);
	stamp(tracked_page(&f, 4));
	stamp(tracked_page(&f, 7));
	EXPECT_TOLD(&f, 4, 7);
	expect_told(&f, 0, NULL);
	assert_int_equal(*tracked_page(&f, 4), STAMP);
	assert_int_equal(*tracked_page(&f, 8), STAMP);
	tracked_end(&f);
}

static void test_a_hole_that_is_written_is_told(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 8, "hz");
	touch(tracked_page(&f, 0));
	expect_told(&f, 0, NULL);
	stamp(tracked_page(&f, 0));
	EXPECT_TOLD(&f, 0);
	stamp(tracked_page(&f, 4));
	EXPECT_TOLD(&f, 4);
	stamp(tracked_page(&f, 0));
	EXPECT_TOLD(&f, 0);
	tracked_end(&f);
}

/* Its content is another one now: zeros. */
static void test_what_is_discarded_is_told(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 8, "d");
	touch(tracked_page(&f, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, f.guest.page, 2 * f.guest.page));
	EXPECT_TOLD(&f, 1, 2);
	assert_true(all_zero(tracked_page(&f, 1), 2 * f.guest.page));
	expect_told(&f, 0, NULL);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, f.guest.page, f.guest.page));
	EXPECT_TOLD(&f, 1);
	stamp(tracked_page(&f, 1));
	EXPECT_TOLD(&f, 1);
	tracked_end(&f);
}

static void test_system_calls_write_too(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 8, "d");
	assert_int_equal(call_writing(tracked_page(&f, 3)), 0);
	assert_int_equal(call_reading(tracked_page(&f, 4)), 0);
	EXPECT_TOLD(&f, 3);
	assert_int_equal(call_writing(tracked_page(&f, 3)), 0);
	EXPECT_TOLD(&f, 3);
	tracked_end(&f);
}

static void test_a_write_through_a_view_is_told(void **state)
{
	struct tracked f;
	unsigned char *shared, *private;

	tracked_begin(&f, state, 8, "d");
	shared = map_view(&f, 0);
	private = map_view(&f, LAZYMEM_VIEW_PRIVATE);
	touch(shared);
	touch(tracked_page(&f, 1));
	touch(private + 2 * f.guest.page);
	/* how a page came to be mapped at several places is not told apart at first */
	lazymem_dirty_clear(f.dirty);
	assert_ok(lazymem_attachment_collect(f.guest.attachment, f.dirty));
	stamp(shared);
	stamp(tracked_page(&f, 1));
	stamp(private + 2 * f.guest.page);
	EXPECT_TOLD(&f, 0, 1);
	expect_told(&f, 0, NULL);
	unmap_view(&f, shared);
	unmap_view(&f, private);
	tracked_end(&f);
}

static void test_the_worst_way_tells_all_that_is_there(void **state)
{
	struct tracked f;

	tracked_begin(&f, state, 8, "d");
	touch(tracked_page(&f, 1));
	stamp(tracked_page(&f, 5));
	EXPECT_TOLD(&f, 1, 5);
	EXPECT_TOLD(&f, 1, 5);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 5 * f.guest.page, f.guest.page));
	EXPECT_TOLD(&f, 1, 5);
	tracked_end(&f);
}

/* ---- none is lost */

#define WRITERS 3u

struct storm {
	struct tracked f;
	atomic_bool over;
	unsigned char *copy; /* what a reader of dirty pages has */
};

struct writer {
	struct storm *storm;
	uint64_t seed;
	size_t byte; /* its own, in each page */
};

static int write_until_over(void *argument)
{
	struct writer *writer = argument;
	struct tracked *f = &writer->storm->f;

	while (!atomic_load(&writer->storm->over)) {
		const uint64_t random = next_random(&writer->seed);
		unsigned char *at = tracked_page(f, random % f->pages) + writer->byte;

		__atomic_store_n(at, (unsigned char)(random >> 32), __ATOMIC_RELAXED);
	}
	return 0;
}

/* While it is written to. */
static void copy_page(struct storm *storm, size_t page)
{
	const uint64_t *from = (const void *)tracked_page(&storm->f, page);
	uint64_t *to = (void *)(storm->copy + page * storm->f.guest.page);

	for (size_t i = 0; i < storm->f.guest.page / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static void copy_told(struct storm *storm)
{
	struct tracked *f = &storm->f;

	lazymem_dirty_clear(f->dirty);
	assert_ok(lazymem_attachment_collect(f->guest.attachment, f->dirty));
	for (size_t page = 0; page < f->pages; page++)
		if (lazymem_dirty_test(f->dirty, guest_address(page * f->guest.page)))
			copy_page(storm, page);
}

static void test_no_write_is_lost_while_it_is_collected(void **state)
{
	struct storm storm = {.over = false};
	struct actor actors[WRITERS];
	struct writer writers[WRITERS];
	uint64_t seed = harness_seed();
	size_t length;

	tracked_begin(&storm.f, state, memory_of(state) == HUGETLB ? 8 : 700, "ddh");
	length = storm.f.guest.length;
	storm.copy = malloc(length);
	memcpy(storm.copy, storm.f.image.bytes, length);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){&storm, seed + i, i * 8};
		actor_start(&actors[i], write_until_over, &writers[i]);
	}
	for (unsigned i = 0; i < 60; i++)
		copy_told(&storm);
	atomic_store(&storm.over, true);
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	copy_told(&storm);
	assert_memory_equal(storm.copy, storm.f.guest.host, length);
	free(storm.copy);
	tracked_end(&storm.f);
}

/* ---- what is refused, and what is had instead */

static void test_bad_requests_are_refused(void **state)
{
	struct lazymem_attach_options options = {.size = sizeof(options)};
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_mapping *mapping = NULL;
	struct lazymem_region *region = NULL;
	struct lazymem_memory *memory = NULL;
	struct lazymem_dirty *dirty = NULL;
	struct tracked f;

	tracked_begin(&f, state, 8, "d");
	assert_ok(lazymem_mapping_create_anonymous(PAGE, NULL, &mapping));
	assert_ok(lazymem_region_create(mapping, guest_address(0), f.source.backing, 0, &region));
	assert_ok(lazymem_memory_create(&region, 1, &memory));
	assert_ok(lazymem_dirty_create(memory, &dirty));
	assert_refused(lazymem_attachment_collect(f.guest.attachment, dirty), -EINVAL,
		       "different regions");
	assert_ok(lazymem_handler_attach(f.guest.handler, memory, &options, &attachment));
	assert_int_equal(lazymem_attachment_tracking(attachment), LAZYMEM_TRACKING_NONE);
	assert_refused(lazymem_attachment_collect(attachment, dirty), -EINVAL,
		       "LAZYMEM_ATTACH_TRACK");
	lazymem_attachment_abort(attachment);
	options.tracking_most = (enum lazymem_tracking)4;
	assert_refused(lazymem_handler_attach(f.guest.handler, memory, &options, &attachment),
		       -EINVAL, "tracking_most 4");
	lazymem_dirty_destroy(dirty);
	lazymem_memory_unref(memory);
	lazymem_region_unref(region);
	lazymem_mapping_unref(mapping);
	tracked_end(&f);
}

static void test_of_a_foreign_userfaultfd_nothing_better_is_known(void **state)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK | LAZYMEM_ATTACH_USERFAULTFD,
		.userfaultfd = userfaultfd_open(false),
	};
	struct tracked f = {.pages = 8};

	(void)state;
	image_create(&f.image, 8 * PAGE, "d", 83);
	source_create(&f.source, &f.image);
	guest_map(&f.guest, ANONYMOUS, 8 * PAGE, 0, f.source.backing);
	guest_attach(&f.guest, NULL, &options);
	assert_int_equal(lazymem_attachment_tracking(f.guest.attachment),
			 LAZYMEM_TRACKING_POPULATED);
	assert_ok(lazymem_dirty_create(f.guest.memory, &f.dirty));
	touch(tracked_page(&f, 3));
	EXPECT_TOLD(&f, 3);
	tracked_end(&f);
}

#define IN_THE_WORST_WAY(function)                                                                 \
	TEST_NAMED(function, #function " (anonymous)",                                             \
		   WAY(ANONYMOUS, LAZYMEM_TRACKING_POPULATED)),                                    \
		TEST_NAMED(function, #function " (memfd)", WAY(MEMFD, LAZYMEM_TRACKING_POPULATED))

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_WAY(test_what_is_only_read_is_not_told),
		IN_EACH_WAY(test_each_write_is_told_once),
		IN_EACH_WAY(test_a_hole_that_is_written_is_told),
		IN_EACH_WAY(test_what_is_discarded_is_told),
		IN_EACH_WAY(test_system_calls_write_too),
		IN_EACH_SHARED_WAY(test_a_write_through_a_view_is_told),
		IN_THE_WORST_WAY(test_the_worst_way_tells_all_that_is_there),
		IN_EACH_WAY(test_no_write_is_lost_while_it_is_collected),
		IN_THE_WORST_WAY(test_bad_requests_are_refused),
		TEST(test_of_a_foreign_userfaultfd_nothing_better_is_known),
	};

	require_faults();
	require_hugetlb(BLOCK, 24);
	return run_group(tests);
}
