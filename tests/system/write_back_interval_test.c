/* SPDX-License-Identifier: MIT
 *
 * write_back_interval_test.c - memory that is synced by itself, and what letting
 * go does for memory that was not synced.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <support/actor.h>
#include <support/disk.h>
#include <support/guest.h>
#include <support/process.h>

#define PAGES 8u
#define INTERVAL MILLISECONDS(5)
#define NEVER UINT64_MAX /* centuries: the test ends before */

struct fixture {
	struct image image;
	struct disk disk;
	struct guest guest;
};

static void begin(struct fixture *f, enum memory_kind kind, uint64_t interval)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
		.write_back_interval = interval,
	};

	image_create(&f->image, PAGES * page_size_of(kind), "ddz", 17);
	disk_create(&f->disk, &f->image, true);
	guest_map(&f->guest, kind, f->image.length, 0, f->disk.backing);
	guest_attach(&f->guest, NULL, &options);
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

static bool is_durable(struct disk *disk, size_t offset)
{
	bool durable;

	pthread_mutex_lock(&disk->lock);
	durable = disk->durable[offset] == STAMP;
	pthread_mutex_unlock(&disk->lock);
	return durable;
}

static bool first_page_is_durable(void *argument)
{
	return is_durable(argument, 0);
}

static struct lazymem_statistics counters(const struct fixture *f)
{
	struct lazymem_statistics s = {.size = sizeof(s)};

	assert_ok(lazymem_attachment_statistics(f->guest.attachment, &s));
	return s;
}

static bool has_failed_twice(void *argument)
{
	return counters(argument).failed_syncs >= 2;
}

/* ---- by itself */

static void test_what_is_written_becomes_durable_without_a_sync(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), INTERVAL);
	stamp(page_at(&f, 0));
	assert_true(await(first_page_is_durable, &f.disk));
	end(&f);
}

static void test_without_an_interval_nothing_is_written_by_itself(void **state)
{
	const struct residue before = residue_now();
	struct fixture f;

	begin(&f, kind_of(state), 0);
	stamp(page_at(&f, 0));
	assert_int_equal(residue_now().threads, before.threads + 1); /* the worker */
	assert_int_equal(counters(&f).syncs, 0);
	end(&f);
}

static void test_what_failed_is_tried_again_after_the_interval(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), INTERVAL);
	f.disk.fails_writes = true;
	stamp(page_at(&f, 0));
	assert_true(await(has_failed_twice, &f));
	assert_false(is_durable(&f.disk, 0));
	f.disk.fails_writes = false;
	assert_true(await(first_page_is_durable, &f.disk));
	end(&f);
}

static void test_a_sync_reports_what_could_not_be_written_by_itself(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), INTERVAL);
	f.disk.fails_flushes = true;
	stamp(page_at(&f, 0));
	assert_true(await(has_failed_twice, &f));
	assert_refused(lazymem_mapping_sync(f.guest.mapping, 0, f.guest.length), -EIO, "sync of");
	f.disk.fails_flushes = false;
	assert_ok(lazymem_mapping_sync(f.guest.mapping, 0, f.guest.length));
	assert_true(is_durable(&f.disk, 0));
	end(&f);
}

static void test_its_thread_takes_no_signals(void **state)
{
	const struct residue before = residue_now();
	struct fixture f;

	begin(&f, kind_of(state), NEVER);
	assert_int_equal(residue_now().threads, before.threads + 2);
	assert_other_threads_take_no_signals();
	end(&f);
	assert_nothing_left(before);
}

static void test_letting_go_does_not_wait_for_the_interval(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), NEVER);
	guest_finish(&f.guest);
	end(&f);
	begin(&f, kind_of(state), NEVER);
	end(&f);
}

/* It goes on after a finish that failed. */
static void test_a_finish_that_fails_leaves_the_interval(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), INTERVAL);
	f.disk.fails_writes = true;
	stamp(page_at(&f, 0));
	assert_refused(lazymem_attachment_finish(f.guest.attachment), -EIO, "sync");
	f.disk.fails_writes = false;
	assert_true(await(first_page_is_durable, &f.disk));
	end(&f);
}

static void test_an_interval_without_write_back_is_refused(void **state)
{
	struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_ATTACH_TRACK,
		.write_back_interval = INTERVAL,
	};
	struct lazymem_attachment *attachment = NULL;
	struct fixture f;

	begin(&f, kind_of(state), 0);
	assert_refused(
		lazymem_handler_attach(f.guest.handler, f.guest.memory, &options, &attachment),
		-EINVAL, "write_back_interval");
	assert_null(attachment);
	end(&f);
}

/* ---- counted */

static void test_syncs_and_what_they_write_are_counted(void **state)
{
	struct fixture f;
	struct lazymem_statistics s;

	begin(&f, kind_of(state), 0);
	stamp(page_at(&f, 1));
	stamp(page_at(&f, 4));
	f.disk.fails_flushes = true;
	assert_refused(lazymem_mapping_sync(f.guest.mapping, 0, f.guest.length), -EIO, "");
	f.disk.fails_flushes = false;
	assert_ok(lazymem_mapping_sync(f.guest.mapping, 0, f.guest.length));
	assert_ok(lazymem_mapping_sync(f.guest.mapping, 0, f.guest.length));
	s = counters(&f);
	assert_int_equal(s.syncs, 2);
	assert_int_equal(s.failed_syncs, 1);
	assert_int_equal(s.bytes_written, 4 * f.guest.page);
	end(&f);
}

/* ---- abort */

static void test_an_abort_loses_nothing(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	stamp(page_at(&f, 3));
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_true(is_durable(&f.disk, 3 * f.guest.page));
	end(&f);
}

static void test_an_abort_lets_go_although_it_cannot_write(void **state)
{
	struct fixture f;

	begin(&f, kind_of(state), 0);
	stamp(page_at(&f, 3));
	f.disk.fails_writes = true;
	lazymem_attachment_abort(f.guest.attachment);
	f.guest.attachment = NULL;
	assert_false(is_durable(&f.disk, 3 * f.guest.page));
	assert_int_equal(touch(page_at(&f, 3)), STAMP);
	end(&f);
}

/* ---- two regions, each with a disk of its own */

struct pair {
	struct image image;
	struct disk disks[2];
	struct lazymem_mapping *mappings[2];
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
};

/* The first page of each is dirty. */
static void pair_begin(struct pair *pair)
{
	struct lazymem_attach_options options = {.size = sizeof(options),
						 .flags = LAZYMEM_ATTACH_WRITE_BACK};
	struct lazymem_region *regions[2] = {NULL, NULL};

	image_create(&pair->image, 2 * PAGE, "d", 17);
	for (size_t i = 0; i < 2; i++) {
		disk_create(&pair->disks[i], &pair->image, true);
		assert_ok(lazymem_mapping_create_memfd(2 * PAGE, NULL, &pair->mappings[i]));
		assert_ok(lazymem_region_create(pair->mappings[i], guest_address(4 * i * PAGE),
						pair->disks[i].backing, 0, &regions[i]));
	}
	assert_ok(lazymem_memory_create(regions, 2, &pair->memory));
	for (size_t i = 0; i < 2; i++)
		lazymem_region_unref(regions[i]);
	assert_ok(lazymem_handler_create(NULL, &pair->handler));
	assert_ok(lazymem_handler_attach(pair->handler, pair->memory, &options, &pair->attachment));
	for (size_t i = 0; i < 2; i++)
		stamp(lazymem_mapping_span(pair->mappings[i]).host);
}

static void pair_end(struct pair *pair)
{
	assert_ok(lazymem_handler_destroy(pair->handler));
	lazymem_memory_unref(pair->memory);
	for (size_t i = 0; i < 2; i++) {
		lazymem_mapping_unref(pair->mappings[i]);
		disk_destroy(&pair->disks[i]);
	}
	image_destroy(&pair->image);
}

static void test_an_abort_writes_what_it_can(void **state)
{
	struct pair pair;

	(void)state;
	for (size_t failing = 0; failing < 2; failing++) {
		pair_begin(&pair);
		pair.disks[failing].fails_writes = true;
		lazymem_attachment_abort(pair.attachment);
		assert_false(is_durable(&pair.disks[failing], 0));
		assert_true(is_durable(&pair.disks[1 - failing], 0));
		pair_end(&pair);
	}
}

/* Whichever comes last. */
static void test_a_finish_names_the_region_that_cannot_be_synced(void **state)
{
	char sentence[64];
	struct pair pair;

	(void)state;
	for (size_t failing = 0; failing < 2; failing++) {
		pair_begin(&pair);
		pair.disks[failing].fails_writes = true;
		snprintf(sentence, sizeof(sentence), "sync of [0x%llx+",
			 (unsigned long long)guest_address(4 * failing * PAGE).value);
		assert_refused(lazymem_attachment_finish(pair.attachment), -EIO, sentence);
		assert_true(is_durable(&pair.disks[1 - failing], 0));
		pair.disks[failing].fails_writes = false;
		assert_ok(lazymem_attachment_finish(pair.attachment));
		assert_true(is_durable(&pair.disks[failing], 0));
		pair_end(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_what_is_written_becomes_durable_without_a_sync),
		TEST(test_without_an_interval_nothing_is_written_by_itself),
		TEST_EACH_KIND(test_what_failed_is_tried_again_after_the_interval),
		TEST(test_a_sync_reports_what_could_not_be_written_by_itself),
		TEST(test_its_thread_takes_no_signals),
		TEST_EACH_KIND(test_letting_go_does_not_wait_for_the_interval),
		TEST(test_a_finish_that_fails_leaves_the_interval),
		TEST(test_an_interval_without_write_back_is_refused),
		TEST_EACH_KIND(test_syncs_and_what_they_write_are_counted),
		TEST_EACH_KIND(test_an_abort_loses_nothing),
		TEST_EACH_KIND(test_an_abort_lets_go_although_it_cannot_write),
		TEST(test_an_abort_writes_what_it_can),
		TEST(test_a_finish_names_the_region_that_cannot_be_synced),
	};

	require_faults();
	require_hugetlb(BLOCK, PAGES);
	return run_group(tests);
}
