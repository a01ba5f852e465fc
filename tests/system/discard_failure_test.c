/* SPDX-License-Identifier: MIT
 *
 * discard_failure_test.c - memory that is hard to give back: locked, it still
 * is; sealed, it cannot be, and then nothing has happened to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/source.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define LENGTH (2 * MIB)

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

/* A memfd of the caller's, sealed against writing: so are holes. */
static void begin_sealed(struct fixture *f)
{
	struct lazymem_attach_options options = {.size = sizeof(options), .on_failure = poison};
	struct lazymem_region *region;

	image_create(&f->image, LENGTH, "d", 38);
	source_create(&f->source, &f->image);
	f->guest = (struct guest){.length = LENGTH, .page = PAGE};
	f->fd = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, LENGTH), 0);
	f->guest.host = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	assert_ptr_not_equal(f->guest.host, MAP_FAILED);
	assert_ok(lazymem_mapping_adopt(f->guest.host, LENGTH, f->fd, 0, NULL, &f->guest.mapping));
	assert_ok(lazymem_region_create(f->guest.mapping, guest_address(0), f->source.backing, 0,
					&region));
	assert_ok(lazymem_memory_create(&region, 1, &f->guest.memory));
	lazymem_region_unref(region);
	guest_attach(&f->guest, NULL, &options);
	assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
}

static void end_sealed(struct fixture *f)
{
	unsigned char *host = f->guest.host;

	guest_end(&f->guest);
	munmap(host, LENGTH);
	close(f->fd);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static int discard(struct fixture *f, size_t start, size_t length)
{
	return lazymem_mapping_discard(f->guest.mapping, start, length);
}

static void test_a_discard_that_fails_leaves_missing_pages_missing(void **state)
{
	struct fixture f;

	(void)state;
	begin_sealed(&f);
	assert_refused(discard(&f, 0, LENGTH), -EPERM, "hole");
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end_sealed(&f);
}

static void test_a_finish_after_a_discard_that_failed_is_whole(void **state)
{
	struct fixture f;

	(void)state;
	begin_sealed(&f);
	touch(f.guest.host);
	assert_refused(discard(&f, 0, LENGTH), -EPERM, "hole");
	guest_finish(&f.guest);
	assert_true(image_matches(&f.image, 0, f.guest.host, LENGTH));
	end_sealed(&f);
}

static void test_a_discard_that_fails_keeps_poison(void **state)
{
	struct fixture f;

	(void)state;
	begin_sealed(&f);
	source_fail(&f.source, 0, PAGE, -EIO, UINT64_MAX);
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_refused(discard(&f, 0, PAGE), -EPERM, "hole");
	assert_int_equal(touch(f.guest.host), SIGNALLED + SIGBUS);
	assert_int_equal(statistics_at_rest(f.guest.attachment).pages_poisoned, 1);
	end_sealed(&f);
}

/* The read was revoked by the mark; it is not lost with it. */
static void test_a_discard_that_fails_loses_no_read_under_way(void **state)
{
	struct fixture f;
	struct actor actor;

	(void)state;
	begin_sealed(&f);
	source_hold(&f.source, 0, PAGE);
	actor_start(&actor, touch, f.guest.host);
	assert_true(source_await_held(&f.source, 1));
	assert_refused(discard(&f, 0, PAGE), -EPERM, "hole");
	source_release(&f.source);
	assert_int_equal(actor_join(&actor), f.image.bytes[0]);
	assert_true(image_matches(&f.image, 0, f.guest.host, PAGE));
	end_sealed(&f);
}

/* ---- locked -------------------------------------------------------------- */

static void begin_locked(struct fixture *f, enum memory_kind kind)
{
	image_create(&f->image, LENGTH, "d", 39);
	source_create(&f->source, &f->image);
	guest_map(&f->guest, kind, LENGTH, LAZYMEM_MAPPING_LOCK_ON_FAULT, f->source.backing);
	guest_attach(&f->guest, NULL, NULL);
}

static void end_locked(struct fixture *f)
{
	guest_end(&f->guest);
	source_destroy(&f->source);
	image_destroy(&f->image);
}

static void test_locked_memory_can_be_discarded(void **state)
{
	struct fixture f;

	begin_locked(&f, kind_of(state));
	assert_int_equal(touch(f.guest.host), f.image.bytes[0]);
	assert_ok(discard(&f, 0, 2 * PAGE));
	assert_true(all_zero(f.guest.host, 2 * PAGE));
	assert_true(image_matches(&f.image, 2 * PAGE, f.guest.host + 2 * PAGE, LENGTH - 2 * PAGE));
	guest_finish(&f.guest);
	assert_true(all_zero(f.guest.host, 2 * PAGE));
	end_locked(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_discard_that_fails_leaves_missing_pages_missing),
		TEST(test_a_finish_after_a_discard_that_failed_is_whole),
		TEST(test_a_discard_that_fails_keeps_poison),
		TEST(test_a_discard_that_fails_loses_no_read_under_way),
		TEST_NAMED(test_locked_memory_can_be_discarded, "locked memory (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_locked_memory_can_be_discarded, "locked memory (memfd)", MEMFD),
	};

	require_faults();
	return run_group(tests);
}
