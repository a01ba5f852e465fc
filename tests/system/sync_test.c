/* SPDX-License-Identifier: MIT
 *
 * sync_test.c - what sync promises of lazily filled memory that is written
 * back: when it has returned, every byte written before is durable in the
 * backing object, and a failure forgets nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <lazymem/inject.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <support/actor.h>
#include <support/disk.h>
#include <support/guest.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 64u

struct fixture {
	struct image image;
	struct disk disk;
	struct guest guest;
};

static void attach(struct fixture *f, enum lazymem_tracking most)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.tracking_most = most,
	};

	guest_attach(&f->guest, NULL, &options);
}

static void begin_sized(struct fixture *f, enum memory_kind kind, uint64_t length, bool has_holes)
{
	const size_t page = page_size_of(kind);

	image_create(&f->image, length, "ddz", 91);
	disk_create(&f->disk, &f->image, has_holes);
	guest_map(&f->guest, kind, (length + page - 1) / page * page, 0, f->disk.backing);
	attach(f, LAZYMEM_TRACKING_NONE);
}

static void begin(struct fixture *f, void **state)
{
	begin_sized(f, kind_of(state),
		    (kind_of(state) == HUGETLB ? 8 : PAGES) * page_size_of(kind_of(state)), true);
}

static void end(struct fixture *f)
{
	guest_end(&f->guest);
	disk_destroy(&f->disk);
	image_destroy(&f->image);
}

static unsigned char *page_at(const struct fixture *f, size_t page)
{
	return f->guest.host + page * f->guest.page;
}

static int sync_pages(const struct fixture *f, size_t page, size_t count)
{
	return lazymem_mapping_sync(f->guest.mapping, page * f->guest.page, count * f->guest.page);
}

static int sync_all(const struct fixture *f)
{
	return lazymem_memory_sync(f->guest.memory, guest_address(0), f->guest.length);
}

static bool is_durable(const struct fixture *f, size_t page)
{
	return memcmp(f->disk.durable + page * f->guest.page, page_at(f, page), f->guest.page) == 0;
}

static void test_what_was_written_is_durable_and_nothing_else_changes(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 1));
	touch(page_at(&f, 2));
	stamp(page_at(&f, 5));
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, 2 * f.guest.page);
	assert_int_equal(f.disk.durable[f.guest.page], STAMP);
	assert_true(is_durable(&f, 1));
	assert_true(is_durable(&f, 5));
	f.image.bytes[f.guest.page] = STAMP;
	f.image.bytes[5 * f.guest.page] = STAMP;
	assert_memory_equal(f.disk.durable, f.image.bytes, f.image.length);
	end(&f);
}

static void test_what_was_synced_is_not_written_again(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 3));
	assert_ok(sync_all(&f));
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, f.guest.page);
	page_at(&f, 3)[9] = STAMP;
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, 2 * f.guest.page);
	assert_true(is_durable(&f, 3));
	end(&f);
}

static void test_a_range_leaves_the_rest_for_later(void **state)
{
	struct fixture f;

	begin(&f, state);
	for (size_t page = 2; page < 6; page++)
		stamp(page_at(&f, page));
	assert_ok(sync_pages(&f, 3, 2));
	assert_int_equal(f.disk.written, 2 * f.guest.page);
	assert_true(is_durable(&f, 3) && is_durable(&f, 4));
	assert_false(is_durable(&f, 2) || is_durable(&f, 5));
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, 4 * f.guest.page);
	assert_true(is_durable(&f, 2) && is_durable(&f, 5));
	end(&f);
}

static void test_what_is_discarded_becomes_a_hole(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 1));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, f.guest.page, 3 * f.guest.page));
	stamp(page_at(&f, 3));
	assert_ok(sync_all(&f));
	assert_true(all_zero(f.disk.durable + f.guest.page, 2 * f.guest.page));
	assert_int_equal(f.disk.durable[3 * f.guest.page], STAMP);
	assert_true(all_zero(f.disk.durable + 3 * f.guest.page + 1, f.guest.page - 1));
	assert_int_equal(f.disk.written, f.guest.page);
	end(&f);
}

static void test_zeros_are_written_where_there_are_no_holes(void **state)
{
	struct fixture f;

	begin_sized(&f, kind_of(state), 8 * page_size_of(kind_of(state)), false);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, f.guest.page, 3 * f.guest.page));
	assert_ok(sync_all(&f));
	assert_true(all_zero(f.disk.durable + f.guest.page, 3 * f.guest.page));
	assert_int_equal(f.disk.written, 3 * f.guest.page);
	end(&f);
}

static void test_an_object_may_end_inside_the_last_page(void **state)
{
	struct fixture f;
	const size_t page = page_size_of(kind_of(state));

	begin_sized(&f, kind_of(state), 4 * page - 100, true);
	memset(page_at(&f, 3), STAMP, page);
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, page - 100);
	assert_memory_equal(f.disk.durable + 3 * page, page_at(&f, 3), page - 100);
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 3 * page, page));
	assert_ok(sync_all(&f));
	assert_true(all_zero(f.disk.durable + 3 * page, page - 100));
	end(&f);
}

/* ---- failures */

static void test_a_write_that_fails_is_tried_by_the_next_sync(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 1));
	stamp(page_at(&f, 7));
	f.disk.fails_writes = true;
	assert_refused(sync_all(&f), -EIO, "disk");
	assert_refused(sync_pages(&f, 1, 1), -EIO, "cannot write byte");
	f.disk.fails_writes = false;
	assert_ok(sync_all(&f));
	assert_true(is_durable(&f, 1) && is_durable(&f, 7));
	end(&f);
}

/* Storage may drop what it could not flush, and then say that all is well. */
static void test_what_a_failed_flush_may_have_dropped_is_written_again(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 2));
	f.disk.fails_flushes = true;
	assert_refused(sync_all(&f), -EIO, "sync of [0x");
	f.disk.fails_flushes = false;
	assert_ok(sync_all(&f));
	assert_true(is_durable(&f, 2));
	assert_int_equal(f.disk.written, 2 * f.guest.page);
	end(&f);
}

static enum lazymem_verdict poison(void *context, const struct lazymem_failure *failure)
{
	(void)context;
	(void)failure;
	return LAZYMEM_POISON;
}

/* Nobody has written it: it holds up no other page. */
static void test_a_poisoned_page_holds_up_no_sync(void **state)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.on_failure = poison,
	};
	const size_t page = page_size_of(kind_of(state));
	struct fixture f;

	for (unsigned i = 0; i < 3; i++) {
		options.tracking_most = (enum lazymem_tracking)(1 + i);
		image_create(&f.image, 8 * page, "d", 91);
		disk_create(&f.disk, &f.image, true);
		f.disk.fails_reads = true;
		guest_map(&f.guest, kind_of(state), 8 * page, 0, f.disk.backing);
		guest_attach(&f.guest, NULL, &options);
		assert_int_equal(touch(page_at(&f, 2)), SIGNALLED + SIGBUS);
		f.disk.fails_reads = false;
		stamp(page_at(&f, 1));
		stamp(page_at(&f, 3));
		assert_ok(sync_all(&f));
		assert_true(is_durable(&f, 1) && is_durable(&f, 3));
		assert_memory_equal(f.disk.durable + 2 * page, f.image.bytes + 2 * page, page);
		end(&f);
	}
}

static uint64_t reads_of(struct lazymem_attachment *attachment)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(attachment, &s));
	return s.reads;
}

struct healing {
	struct lazymem_attachment *attachment;
	uint64_t reads_before;
};

static bool has_begun(void *argument)
{
	const struct healing *healing = argument;

	return reads_of(healing->attachment) > healing->reads_before;
}

/* It is claimed then, and poison still. */
static void test_a_poisoned_page_that_is_being_healed_holds_up_no_sync(void **state)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.on_failure = poison,
	};
	const size_t page = page_size_of(kind_of(state));
	const struct lazymem_inject_range second = {.start = page, .length = page};
	const struct lazymem_guest_range range = {guest_address(page), page};
	const struct lazymem_prefetch heal = {
		.size = sizeof(heal), .ranges = &range, .range_count = 1};
	struct lazymem_backing *slow = NULL;
	struct healing healing;
	struct fixture f;

	for (unsigned i = 0; i < 3; i++) {
		options.tracking_most = (enum lazymem_tracking)(1 + i);
		image_create(&f.image, 4 * page, "d", 91);
		disk_create(&f.disk, &f.image, true);
		f.disk.fails_reads = true;
		assert_ok(lazymem_inject_delay(f.disk.backing, second, MILLISECONDS(100), &slow));
		guest_map(&f.guest, kind_of(state), 4 * page, 0, slow);
		guest_attach(&f.guest, NULL, &options);
		assert_int_equal(touch(page_at(&f, 1)), SIGNALLED + SIGBUS);
		f.disk.fails_reads = false;
		stamp(page_at(&f, 3));
		healing = (struct healing){f.guest.attachment, reads_of(f.guest.attachment)};
		assert_ok(lazymem_attachment_prefetch(f.guest.attachment, &heal));
		assert_true(await(has_begun, &healing));
		assert_ok(sync_all(&f));
		assert_true(is_durable(&f, 3));
		lazymem_backing_unref(slow);
		end(&f);
	}
}

static void test_a_read_only_object_is_refused_at_attach(void **state)
{
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_WRITE_BACK};
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_handler *handler = NULL;
	struct lazymem_backing *backing = NULL;
	struct image image;
	struct guest guest;

	image_create(&image, 8 * page_size_of(kind_of(state)), "d", 91);
	assert_ok(lazymem_file_open(image_write(&image, "read-only"), NULL, &backing));
	guest_map(&guest, kind_of(state), image.length, 0, backing);
	assert_ok(lazymem_handler_create(NULL, &handler));
	assert_refused(lazymem_handler_attach(handler, guest.memory, &options, &attachment), -EROFS,
		       "read-only");
	assert_null(attachment);
	options.flags = 0;
	assert_ok(lazymem_handler_attach(handler, guest.memory, &options, &attachment));
	lazymem_attachment_abort(attachment);
	assert_ok(lazymem_handler_destroy(handler));
	lazymem_memory_unref(guest.memory);
	lazymem_mapping_unref(guest.mapping);
	lazymem_backing_unref(backing);
	image_destroy(&image);
}

/* ---- beside others */

static void test_sync_and_collect_do_not_rob_each_other(void **state)
{
	struct lazymem_dirty *dirty = NULL;
	struct fixture f;

	begin(&f, state);
	assert_ok(lazymem_dirty_create(f.guest.memory, &dirty));
	stamp(page_at(&f, 1));
	assert_ok(sync_all(&f));
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_int_equal(lazymem_dirty_length(dirty), f.guest.page);
	stamp(page_at(&f, 4));
	lazymem_dirty_clear(dirty);
	assert_ok(lazymem_attachment_collect(f.guest.attachment, dirty));
	assert_true(lazymem_dirty_test(dirty, guest_address(4 * f.guest.page)));
	assert_int_equal(lazymem_dirty_length(dirty), f.guest.page);
	assert_ok(sync_all(&f));
	assert_true(is_durable(&f, 4));
	lazymem_dirty_destroy(dirty);
	end(&f);
}

static void test_finish_syncs(void **state)
{
	struct fixture f;

	begin(&f, state);
	stamp(page_at(&f, 6));
	f.disk.fails_flushes = true;
	assert_refused(lazymem_attachment_finish(f.guest.attachment), -EIO, "sync");
	f.disk.fails_flushes = false;
	guest_finish(&f.guest);
	assert_true(is_durable(&f, 6));
	end(&f);
}

struct storm {
	struct fixture f;
	atomic_bool over;
};

struct writer {
	struct storm *storm;
	uint64_t seed;
	size_t byte;
};

static int write_until_over(void *argument)
{
	struct writer *writer = argument;
	struct fixture *f = &writer->storm->f;
	const size_t pages = f->guest.length / f->guest.page;

	while (!atomic_load(&writer->storm->over)) {
		const uint64_t random = next_random(&writer->seed);

		__atomic_store_n(page_at(f, random % pages) + writer->byte,
				 (unsigned char)(random >> 32), __ATOMIC_RELAXED);
	}
	return 0;
}

static int sync_often(void *argument)
{
	struct storm *storm = argument;
	int error = 0;

	for (unsigned i = 0; error == 0 && i < (TEST_SANITIZED ? 6u : 40u); i++)
		error = i % 3 == 0 ? sync_pages(&storm->f, i % 8, 1) : sync_all(&storm->f);
	return error;
}

/* What is written during a sync is in it, or dirty after it. */
static void test_no_write_is_lost_during_concurrent_syncs(void **state)
{
	struct storm storm = {.over = false};
	struct actor writers[2], syncers[2];
	uint64_t seed = harness_seed();
	struct writer each[2];

	begin(&storm.f, state);
	for (size_t i = 0; i < 2; i++) {
		each[i] = (struct writer){&storm, seed + i, 16 * i};
		actor_start(&writers[i], write_until_over, &each[i]);
		actor_start(&syncers[i], sync_often, &storm);
	}
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(actor_join(&syncers[i]), 0);
	atomic_store(&storm.over, true);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(actor_join(&writers[i]), 0);
	assert_ok(sync_all(&storm.f));
	guest_prefetch(&storm.f.guest, 0, 0);
	assert_memory_equal(storm.f.disk.durable, storm.f.guest.host, storm.f.image.length);
	end(&storm.f);
}

/* ---- a real file */

static void test_a_file_has_what_was_synced(void **state)
{
	struct lazymem_file_options options = {.size = sizeof(options),
					       .flags = LAZYMEM_FILE_WRITABLE};
	struct fixture f;
	struct lazymem_backing *backing = NULL;
	const char *path;
	unsigned char byte = 0;
	struct stat status;
	int fd;

	image_create(&f.image,
		     64 * page_size_of(kind_of(state)) / (kind_of(state) == HUGETLB ? 8 : 1), "d",
		     91);
	path = image_write(&f.image, "written");
	fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_ok(lazymem_file_open(path, &options, &backing));
	guest_map(&f.guest, kind_of(state), f.image.length, 0, backing);
	attach(&f, LAZYMEM_TRACKING_NONE);
	stamp(page_at(&f, 3));
	assert_ok(lazymem_mapping_discard(f.guest.mapping, 5 * f.guest.page, 2 * f.guest.page));
	assert_ok(sync_all(&f));
	assert_int_equal(pread(fd, &byte, 1, (off_t)(3 * f.guest.page)), 1);
	assert_int_equal(byte, STAMP);
	assert_int_equal(lseek(fd, (off_t)(5 * f.guest.page), SEEK_HOLE), 5 * f.guest.page);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(status.st_size, f.image.length);
	close(fd);
	guest_end(&f.guest);
	lazymem_backing_unref(backing);
	image_destroy(&f.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_what_was_written_is_durable_and_nothing_else_changes),
		TEST_EACH_KIND(test_what_was_synced_is_not_written_again),
		TEST_EACH_KIND(test_a_range_leaves_the_rest_for_later),
		TEST_EACH_KIND(test_what_is_discarded_becomes_a_hole),
		TEST_EACH_KIND(test_zeros_are_written_where_there_are_no_holes),
		TEST_EACH_KIND(test_an_object_may_end_inside_the_last_page),
		TEST_EACH_KIND(test_a_write_that_fails_is_tried_by_the_next_sync),
		TEST_EACH_KIND(test_what_a_failed_flush_may_have_dropped_is_written_again),
		TEST_EACH_KIND(test_a_poisoned_page_holds_up_no_sync),
		TEST_EACH_KIND(test_a_poisoned_page_that_is_being_healed_holds_up_no_sync),
		TEST_EACH_KIND(test_a_read_only_object_is_refused_at_attach),
		TEST_EACH_KIND(test_sync_and_collect_do_not_rob_each_other),
		TEST_EACH_KIND(test_finish_syncs),
		TEST_EACH_KIND(test_no_write_is_lost_during_concurrent_syncs),
		TEST_EACH_KIND(test_a_file_has_what_was_synced),
	};

	require_faults();
	require_hugetlb(BLOCK, 16);
	return run_group(tests);
}
