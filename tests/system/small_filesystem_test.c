/* SPDX-License-Identifier: MIT
 *
 * small_filesystem_test.c - shared memory of a file system that is full: there
 * is no page to be had, which its user learns by SIGBUS, and nobody hangs.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM 16u /* pages */

struct fixture {
	struct image image;
	struct source source;
	struct guest guest;
	int fd;
};

static _Atomic(enum lazymem_verdict) verdict;
static atomic_uint calls;

static enum lazymem_verdict decide(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	atomic_fetch_add(&calls, 1);
	return atomic_load(&verdict);
}

/* An adopted file of four times the room there is. */
static void begin(struct fixture *f, enum memory_kind kind, const char *layout, size_t room)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = decide};
	size_t page = page_size_of(kind), length = 4 * room * page;
	struct lazymem_region *region;
	char limits[64];

	atomic_store(&verdict, LAZYMEM_POISON);
	atomic_store(&calls, 0);
	snprintf(limits, sizeof(limits), "size=%zu", room * page);
	mkdir(scratch_path("mount"), 0700);
	assert_int_equal(mount("none", scratch_path("mount"),
			       kind == HUGETLB ? "hugetlbfs" : "tmpfs", 0, limits),
			 0);
	f->fd = open(scratch_path("mount/file"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, (off_t)length), 0);
	image_create(&f->image, length, layout, 40);
	source_create(&f->source, &f->image);
	f->guest = (struct guest){.length = length, .page = page};
	f->guest.host =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, f->fd, 0);
	assert_ptr_not_equal(f->guest.host, MAP_FAILED);
	assert_ok(lazymem_mapping_adopt(f->guest.host, length, f->fd, 0, NULL, &f->guest.mapping));
	assert_ok(lazymem_region_create(f->guest.mapping, guest_address(0), f->source.backing, 0,
					&region));
	assert_ok(lazymem_memory_create(&region, 1, &f->guest.memory));
	lazymem_region_unref(region);
	guest_attach(&f->guest, NULL, &options);
}

static void end(struct fixture *f)
{
	unsigned char *host = f->guest.host;
	size_t length = f->guest.length;

	guest_end(&f->guest);
	munmap(host, length);
	close(f->fd);
	assert_int_equal(umount2(scratch_path("mount"), MNT_DETACH), 0);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void fill(struct fixture *f, size_t first)
{
	for (size_t i = 0; i < ROOM; i++) {
		size_t at = (first + i) * f->guest.page;

		assert_int_equal(touch(f->guest.host + at), f->image.bytes[at]);
	}
}

static void test_a_discarded_page_without_room_raises_sigbus(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", ROOM);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, PAGE));
	fill(&f, 1);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	end(&f);
}

static int abort_it(void *argument)
{
	lazymem_attachment_abort(argument);
	return 0;
}

static bool was_called(void *unused)
{
	(void)unused;
	return atomic_load(&calls) > 0;
}

static void test_an_abort_ends_the_wait_for_a_discarded_page(void **state)
{
	struct fixture f;
	struct actor waiter, aborter;

	begin(&f, kind_of(state), "d", ROOM);
	atomic_store(&verdict, LAZYMEM_RETRY);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, PAGE));
	fill(&f, 1);
	actor_start(&waiter, touch, f.guest.host);
	assert_true(await(was_called, NULL));
	actor_start(&aborter, abort_it, f.guest.attachment);
	assert_int_equal(actor_join(&aborter), 0);
	f.guest.attachment = NULL;
	/* From the kernel: a zero, or what it does where there is no room. */
	int byte = actor_join(&waiter);
	assert_true(byte == 0 || byte == SIGNALLED + SIGBUS);
	end(&f);
}

static void test_a_page_without_room_is_served_once_there_is_some(void **state)
{
	struct fixture f;
	struct actor waiter;

	begin(&f, kind_of(state), "d", ROOM);
	atomic_store(&verdict, LAZYMEM_RETRY);
	fill(&f, 0);
	actor_start(&waiter, touch, f.guest.host + ROOM * PAGE);
	assert_true(await(was_called, NULL));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, PAGE));
	assert_int_equal(actor_join(&waiter), f.image.bytes[ROOM * PAGE]);
	end(&f);
}

/* Its zeros could not be installed; zeros alone would not heal it either. */
static void test_a_poisoned_page_in_a_hole_is_healed(void **state)
{
	struct fixture f;
	size_t hole = ROOM * PAGE;

	begin(&f, kind_of(state), "ddddddddddddddddhddddddddddddddddddddddddddddddddd", ROOM);
	fill(&f, 0);
	assert_int_equal(touch(f.guest.host + hole), SIGNALLED + SIGBUS);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, 4 * PAGE));
	guest_prefetch(&f.guest, hole, PAGE);
	assert_int_equal(touch(f.guest.host + hole), 0);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 0);
	end(&f);
}

/* The pieces of a page are written through an alias, which must not be the
 * first to learn that there is none. */
static void test_a_huge_page_without_room_raises_sigbus_in_the_guest_alone(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), "d", 1);
	assert_int_equal(touch(f.guest.host), f.image.bytes[0]);
	assert_int_equal(touch(f.guest.host + BLOCK), SIGNALLED + SIGBUS);
	guest_prefetch(&f.guest, 2 * BLOCK, BLOCK); /* given up */
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 0, BLOCK));
	assert_int_equal(touch(f.guest.host + 2 * BLOCK), f.image.bytes[2 * BLOCK]);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NAMED(test_a_discarded_page_without_room_raises_sigbus,
			   "a discarded page without room", MEMFD),
		TEST_NAMED(test_an_abort_ends_the_wait_for_a_discarded_page,
			   "an abort without room", MEMFD),
		TEST_NAMED(test_a_page_without_room_is_served_once_there_is_some,
			   "room that is made", MEMFD),
		TEST_NAMED(test_a_poisoned_page_in_a_hole_is_healed, "a poisoned hole is healed",
			   MEMFD),
		TEST_NAMED(test_a_huge_page_without_room_raises_sigbus_in_the_guest_alone,
			   "a huge page without room", HUGETLB),
	};

	require_faults();
	require_hugetlb(BLOCK, 4);
	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
		skip_program("no mounts of our own: CAP_SYS_ADMIN");
	return run_group(tests);
}
