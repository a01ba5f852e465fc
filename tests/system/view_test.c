/* SPDX-License-Identifier: MIT
 *
 * view_test.c - memory that is mapped at several places: each of them is
 * served, from the same pages.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/process.h>
#include <support/source.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define LENGTH (8 * MIB)

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	int fd;
};

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

static void begin(struct fixture *f, enum memory_kind kind, const char *layout)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = poison};
	uint64_t offset;

	image_create(&f->image, LENGTH, layout, 71);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, 0, f->source.backing);
	guest_attach(&f->guest, NULL, &options);
	assert_ok(lazymem_mapping_fd(f->guest.mapping, &f->fd, &offset));
	assert_int_equal(offset, 0);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static int add(struct fixture *f, void *host, size_t offset, size_t length, unsigned flags)
{
	struct lazymem_view view = {
		.size = sizeof(view),
		.flags = flags,
		.host = host,
		.length = length,
		.address = guest_address(offset),
	};

	return lazymem_attachment_add_view(f->guest.attachment, &view);
}

/* Map a part of the memory once more, as a program would; `at` may be NULL. */
static unsigned char *map_at(struct fixture *f, void *at, size_t offset, size_t length,
			     unsigned flags)
{
	const int sharing = flags & LAZYMEM_VIEW_PRIVATE ? MAP_PRIVATE : MAP_SHARED;
	unsigned char *host = mmap(at, length, PROT_NONE, sharing | (at != NULL ? MAP_FIXED : 0),
				   f->fd, (off_t)offset);

	assert_ptr_not_equal(host, MAP_FAILED);
	assert_ok(add(f, host, offset, length, flags));
	assert_int_equal(mprotect(host, length, PROT_READ | PROT_WRITE), 0);
	return host;
}

static unsigned char *map(struct fixture *f, size_t offset, size_t length, unsigned flags)
{
	return map_at(f, NULL, offset, length, flags);
}

static void unmap(struct fixture *f, void *host, size_t length)
{
	assert_ok(lazymem_attachment_remove_view(f->guest.attachment, host, length));
	assert_int_equal(munmap(host, length), 0);
}

static void test_every_view_is_filled_from_the_image(void **state)
{
	struct fixture f;
	unsigned char *whole, *half;

	begin(&f, kind_of(state), "ddhz");
	whole = map(&f, 0, LENGTH, 0);
	half = map(&f, LENGTH / 2, LENGTH / 2, 0);
	assert_true(image_matches(&f.image, LENGTH / 2, half, LENGTH / 2));
	assert_true(image_matches(&f.image, 0, whole, LENGTH));
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	assert_int_equal(source_most_reads(&f.source, 0, LENGTH), 1);
	unmap(&f, whole, LENGTH);
	unmap(&f, half, LENGTH / 2);
	end(&f);
}

static void test_what_is_written_through_one_view_is_read_through_the_others(void **state)
{
	struct fixture f;
	unsigned char *a, *b;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	b = map(&f, 0, LENGTH, 0);
	a[5] = (unsigned char)~a[5];
	assert_int_equal(b[5], a[5]);
	assert_int_equal(f.guest.host[5], a[5]);
	f.guest.host[f.guest.page] = STAMP;
	assert_int_equal(b[f.guest.page], STAMP);
	assert_int_equal(a[f.guest.page], STAMP);
	unmap(&f, a, LENGTH);
	unmap(&f, b, LENGTH);
	end(&f);
}

/* Once fetched in advance, no page of a view faults. */
static void test_what_is_prefetched_is_mapped_in_every_view(void **state)
{
	struct fixture f;
	unsigned char *a, *b;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	b = map(&f, 0, LENGTH, 0);
	guest_prefetch(&f.guest, 0, 0);
	assert_true(image_matches(&f.image, 0, a, LENGTH));
	assert_true(image_matches(&f.image, 0, b, LENGTH));
	assert_int_equal(statistics_at_rest(f.guest.attachment).faults, 0);
	unmap(&f, a, LENGTH);
	unmap(&f, b, LENGTH);
	end(&f);
}

/* The memory of a program that maps its file once counts once. */
static void test_pages_are_not_mapped_where_nobody_looks(void **state)
{
	struct fixture f;
	unsigned char *view;

	begin(&f, kind_of(state), "d");
	view = map(&f, 0, LENGTH, 0);
	guest_prefetch(&f.guest, 0, 0);
	assert_int_equal(smaps_kib(view, LENGTH, "Rss"), LENGTH / 1024);
	assert_int_equal(smaps_kib(f.guest.host, LENGTH, "Rss"), 0);
	unmap(&f, view, LENGTH);
	end(&f);
}

static void test_a_private_view_keeps_its_writes_to_itself(void **state)
{
	struct fixture f;
	unsigned char *private, *shared;

	begin(&f, kind_of(state), "d");
	private = map(&f, 0, LENGTH, LAZYMEM_VIEW_PRIVATE);
	shared = map(&f, 0, LENGTH, 0);
	private[f.guest.page] = STAMP;
	assert_true(image_matches(&f.image, 0, private, f.guest.page));
	assert_true(image_matches(&f.image, 0, shared, LENGTH));
	assert_int_equal(private[f.guest.page], STAMP);
	assert_int_equal(madvise(private + f.guest.page, f.guest.page, MADV_DONTNEED), 0);
	assert_true(image_matches(&f.image, 0, private, LENGTH));
	unmap(&f, private, LENGTH);
	unmap(&f, shared, LENGTH);
	end(&f);
}

static void test_a_discarded_range_is_zero_in_every_view(void **state)
{
	struct fixture f;
	unsigned char *a, *private;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	private = map(&f, 0, LENGTH, LAZYMEM_VIEW_PRIVATE);
	touch(a); /* page 0 was there, page 1 was not */
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, 2 * f.guest.page));
	assert_true(all_zero(private, 2 * f.guest.page));
	assert_true(all_zero(a, 2 * f.guest.page));
	assert_true(image_matches(&f.image, 2 * f.guest.page, a + 2 * f.guest.page,
				  LENGTH - 2 * f.guest.page));
	a[0] = STAMP;
	assert_int_equal(private[0], STAMP);
	unmap(&f, a, LENGTH);
	unmap(&f, private, LENGTH);
	end(&f);
}

/* Memory that is advised away is a cache of the file: it comes back as it was. */
static void test_an_advised_view_loses_nothing(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	a[3] = STAMP;
	assert_int_equal(madvise(a, LENGTH, MADV_DONTNEED), 0);
	assert_int_equal(a[3], STAMP);
	assert_true(image_matches(&f.image, f.guest.page, a + f.guest.page, LENGTH - f.guest.page));
	unmap(&f, a, LENGTH);
	end(&f);
}

static void test_a_page_that_cannot_be_read_is_poisoned_in_every_view(void **state)
{
	struct fixture f;
	unsigned char *a, *b, *private;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	b = map(&f, 0, LENGTH, 0);
	private = map(&f, 0, LENGTH, LAZYMEM_VIEW_PRIVATE);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(b), SIGNALLED + SIGBUS);
	assert_int_equal(touch(a), SIGNALLED + SIGBUS);
	assert_int_equal(touch(private), SIGNALLED + SIGBUS);
	source_fail(&f.source, 0, 0, 0, 0);
	guest_prefetch(&f.guest, 0, f.guest.page); /* heals */
	assert_true(image_matches(&f.image, 0, a, f.guest.page));
	assert_true(image_matches(&f.image, 0, b, f.guest.page));
	assert_true(image_matches(&f.image, 0, private, f.guest.page));
	unmap(&f, a, LENGTH);
	unmap(&f, b, LENGTH);
	unmap(&f, private, LENGTH);
	end(&f);
}

/* What is cut out of a view can be used for something else, and the rest goes on. */
static void test_a_view_can_be_cut_anywhere(void **state)
{
	struct fixture f;
	unsigned char *a;
	size_t page;

	begin(&f, kind_of(state), "d");
	page = f.guest.page;
	a = map(&f, 0, LENGTH, 0);
	assert_ok(lazymem_attachment_remove_view(f.guest.attachment, a + page, page));
	assert_ptr_equal(
		mmap(a + page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
		a + page);
	assert_true(all_zero(a + page, page));
	assert_true(image_matches(&f.image, 0, a, page));
	assert_true(image_matches(&f.image, 2 * page, a + 2 * page, page));
	/* the first page of all is mapped where the third was */
	assert_ok(lazymem_attachment_remove_view(f.guest.attachment, a + 2 * page, page));
	map_at(&f, a + 2 * page, 0, page, 0);
	assert_true(image_matches(&f.image, 0, a + 2 * page, page));
	assert_true(image_matches(&f.image, 3 * page, a + 3 * page, LENGTH - 3 * page));
	unmap(&f, a, LENGTH);
	end(&f);
}

static int touch_it(void *at)
{
	return touch(at);
}

/* A thread that waits in a view which goes away finds what comes in its place. */
static void test_nobody_is_left_waiting_in_a_view_that_is_removed(void **state)
{
	struct fixture f;
	struct actor reader = {.result = -1};
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	source_hold(&f.source, 0, f.guest.page);
	actor_start(&reader, touch_it, a);
	assert_true(source_await_held(&f.source, 1));
	assert_ok(lazymem_attachment_remove_view(f.guest.attachment, a, LENGTH));
	assert_ptr_equal(mmap(a, LENGTH, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 a);
	assert_int_equal(actor_join(&reader), 0);
	source_release(&f.source);
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

static void test_a_child_has_no_views(void **state)
{
	struct fixture f;
	unsigned char *a;
	pid_t child;
	int status;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(touch(a) == SIGNALLED + SIGSEGV ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	unmap(&f, a, LENGTH);
	end(&f);
}

static void test_a_finished_memory_leaves_its_views_complete(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "ddhz");
	a = map(&f, 0, LENGTH, 0);
	guest_finish(&f.guest);
	assert_false(is_registered(a, LENGTH));
	assert_true(image_matches(&f.image, 0, a, LENGTH));
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

static void test_an_aborted_memory_shows_no_false_zeros_in_a_view(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	assert_true(image_matches(&f.image, 0, a, f.guest.page));
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_true(image_matches(&f.image, 0, a, f.guest.page));
	assert_int_equal(touch(a + f.guest.page), SIGNALLED + SIGBUS);
	assert_int_equal(touch(a + LENGTH - 1), SIGNALLED + SIGBUS);
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

/* It was added after the page was poisoned, and nobody has touched it since. */
static void test_an_abort_poisons_what_came_later_too(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	a = map(&f, 0, LENGTH, 0);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_int_equal(touch(a), SIGNALLED + SIGBUS);
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

/* Advising takes poison out of a page table. */
static void test_an_abort_poisons_what_was_advised_away(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	source_fail(&f.source, 0, f.guest.page, -EIO, UINT64_MAX);
	assert_int_equal(touch(a), SIGNALLED + SIGBUS);
	assert_int_equal(madvise(a, LENGTH, MADV_DONTNEED), 0);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_int_equal(touch(a), SIGNALLED + SIGBUS);
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void test_a_view_of_an_aborted_memory_is_not_made_huge(void **state)
{
	unsigned char *room, *a;
	struct fixture f;

	begin(&f, kind_of(state), "d");
	room = mmap(NULL, LENGTH + BLOCK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(room, MAP_FAILED);
	a = map_at(&f, room + (BLOCK - ((uintptr_t)room & (BLOCK - 1))), 0, LENGTH, 0);
	touch(a);
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	(void)madvise(a, BLOCK, MADV_COLLAPSE);
	assert_int_equal(touch(a + f.guest.page), SIGNALLED + SIGBUS);
	assert_int_equal(touch(f.guest.host + f.guest.page), SIGNALLED + SIGBUS);
	assert_int_equal(munmap(room, LENGTH + BLOCK), 0);
	end(&f);
}

/* ---- refusals */

static void test_no_page_of_a_view_is_cut_in_two(void **state)
{
	struct fixture f;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	assert_refused(
		lazymem_attachment_remove_view(f.guest.attachment, a + 100, 2 * f.guest.page),
		-EINVAL, "cut a page");
	if (f.guest.page > PAGE)
		assert_refused(lazymem_attachment_remove_view(f.guest.attachment, a, PAGE), -EINVAL,
			       "cut a page");
	assert_ok(lazymem_attachment_remove_view(f.guest.attachment, a + f.guest.page, 0));
	assert_true(image_matches(&f.image, 0, a, LENGTH));
	unmap(&f, a, LENGTH);
	end(&f);
}

static void test_what_is_no_view_is_refused(void **state)
{
	struct fixture f;
	unsigned char *a;
	size_t page;

	begin(&f, kind_of(state), "d");
	page = f.guest.page;
	a = mmap(NULL, LENGTH, PROT_NONE, MAP_SHARED, f.fd, 0);
	assert_ptr_not_equal(a, MAP_FAILED);
	assert_refused(lazymem_attachment_add_view(f.guest.attachment, NULL), -EINVAL, "no view");
	assert_refused(add(&f, a, LENGTH, page, 0), -EFAULT, "no lazily filled region");
	assert_refused(add(&f, a, page, LENGTH, 0), -EFAULT, "past the end");
	assert_refused(add(&f, a, 0, LENGTH, 0x80), -EINVAL, "unknown flags");
	assert_refused(add(&f, a, 0, 0, 0), -EINVAL, "host range");
	assert_refused(add(&f, a + 1, 0, page, 0), -EINVAL, "aligned");
	assert_refused(add(&f, a, 1, page, 0), -EINVAL, "aligned");
	assert_refused(add(&f, f.guest.host, 0, page, 0), -EEXIST, "own mapping");
	assert_int_equal(munmap(a + page, page), 0);
	assert_refused(add(&f, a + page, page, page, 0), -EINVAL, "not mapped");
	assert_ok(add(&f, a, 0, page, 0));
	assert_refused(add(&f, a, 0, page, 0), -EEXIST, "another view");
	assert_int_equal(munmap(a, LENGTH), 0);
	end(&f);
}

static void test_a_view_that_somebody_else_serves_is_refused(void **state)
{
	struct fixture f, other;
	unsigned char *a;

	begin(&f, kind_of(state), "d");
	begin(&other, kind_of(state), "d");
	a = map(&f, 0, LENGTH, 0);
	assert_refused(add(&other, a, 0, LENGTH, 0), -EBUSY, "cannot register");
	assert_true(image_matches(&f.image, 0, a, LENGTH));
	unmap(&f, a, LENGTH);
	end(&other);
	end(&f);
}

static void test_private_memory_has_no_views(void **state)
{
	struct fixture f;
	void *a = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	image_create(&f.image, LENGTH, "d", 71);
	source_create(&f.source, &f.image);
	guest_start(&f.guest, ANONYMOUS, LENGTH, f.source.backing);
	assert_refused(add(&f, a, 0, PAGE, 0), -EINVAL, "not shared");
	assert_refused(lazymem_attachment_remove_view(f.guest.attachment, (char *)a + 1, SIZE_MAX),
		       -EINVAL, "wraps");
	assert_int_equal(munmap(a, PAGE), 0);
	end(&f);
}

/* ---- many threads */

struct crowd {
	struct fixture f;
	unsigned char *views[3];
	atomic_bool over;
};

struct member {
	struct crowd *crowd;
	uint64_t seed;
};

static int read_everywhere(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;
	const size_t page = crowd->f.guest.page;

	for (unsigned i = 0; i < 4000; i++) {
		const uint64_t random = next_random(&member->seed);
		const size_t offset = random / 8 % (LENGTH / page) * page;

		if (!image_matches(&crowd->f.image, offset, crowd->views[random % 2] + offset,
				   page > 256 ? 256 : page))
			return 1;
	}
	return 0;
}

/* Views come and go while the others are read. */
static int map_and_unmap(void *argument)
{
	struct member *member = argument;
	struct crowd *crowd = member->crowd;
	const size_t page = crowd->f.guest.page;

	while (!atomic_load(&crowd->over)) {
		const size_t offset = next_random(&member->seed) % (LENGTH / page) * page;
		unsigned char *view = map(&crowd->f, offset, LENGTH - offset, 0);
		const bool right = image_matches(&crowd->f.image, offset, view, 256);

		unmap(&crowd->f, view, LENGTH - offset);
		if (!right)
			return 1;
	}
	return 0;
}

static void test_views_are_served_while_others_come_and_go(void **state)
{
	struct crowd crowd = {.over = false};
	struct actor readers[2], mapper;
	uint64_t seed = harness_seed();
	struct member members[3];

	begin(&crowd.f, kind_of(state), "ddhz");
	for (size_t i = 0; i < 2; i++)
		crowd.views[i] = map(&crowd.f, 0, LENGTH, i == 0 ? 0 : LAZYMEM_VIEW_PRIVATE);
	for (size_t i = 0; i < 3; i++)
		members[i] = (struct member){&crowd, seed + i};
	actor_start(&mapper, map_and_unmap, &members[2]);
	for (size_t i = 0; i < 2; i++)
		actor_start(&readers[i], read_everywhere, &members[i]);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(actor_join(&readers[i]), 0);
	atomic_store(&crowd.over, true);
	assert_int_equal(actor_join(&mapper), 0);
	for (size_t i = 0; i < 2; i++)
		unmap(&crowd.f, crowd.views[i], LENGTH);
	end(&crowd.f);
}

#define TEST_SHARED(function)                                                                      \
	TEST_NAMED(function, #function " (memfd)", MEMFD),                                         \
		TEST_NAMED(function, #function " (hugetlb)", HUGETLB)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_SHARED(test_every_view_is_filled_from_the_image),
		TEST_SHARED(test_what_is_written_through_one_view_is_read_through_the_others),
		TEST_SHARED(test_what_is_prefetched_is_mapped_in_every_view),
		TEST_NAMED(test_pages_are_not_mapped_where_nobody_looks,
			   "test_pages_are_not_mapped_where_nobody_looks", MEMFD),
		TEST_SHARED(test_a_private_view_keeps_its_writes_to_itself),
		TEST_SHARED(test_a_discarded_range_is_zero_in_every_view),
		TEST_SHARED(test_an_advised_view_loses_nothing),
		TEST_SHARED(test_a_page_that_cannot_be_read_is_poisoned_in_every_view),
		TEST_SHARED(test_a_view_can_be_cut_anywhere),
		TEST_SHARED(test_nobody_is_left_waiting_in_a_view_that_is_removed),
		TEST_SHARED(test_a_child_has_no_views),
		TEST_SHARED(test_a_finished_memory_leaves_its_views_complete),
		TEST_SHARED(test_an_aborted_memory_shows_no_false_zeros_in_a_view),
		TEST_SHARED(test_an_abort_poisons_what_came_later_too),
		TEST_SHARED(test_an_abort_poisons_what_was_advised_away),
		TEST_NAMED(test_a_view_of_an_aborted_memory_is_not_made_huge,
			   "test_a_view_of_an_aborted_memory_is_not_made_huge", MEMFD),
		TEST_SHARED(test_no_page_of_a_view_is_cut_in_two),
		TEST_SHARED(test_what_is_no_view_is_refused),
		TEST_SHARED(test_a_view_that_somebody_else_serves_is_refused),
		TEST(test_private_memory_has_no_views),
		TEST_SHARED(test_views_are_served_while_others_come_and_go),
	};

	require_faults();
	require_hugetlb(BLOCK, 12);
	return run_group(tests);
}
