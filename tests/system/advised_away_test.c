/* SPDX-License-Identifier: MIT
 *
 * advised_away_test.c - shared memory loses no data when its page tables go
 * (MADV_DONTNEED), and a page that was filled through another mapping has some: then its
 * backing object and its snapshots have them, too, and no zeros.
 */
#include <errno.h>
#include <lazymem/moment.h>
#include <string.h>
#include <support/actor.h>
#include <support/disk.h>
#include <support/tracked.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 8u

struct fixture {
	struct image image;
	struct disk disk;
	struct guest guest;
};

static void begin(struct fixture *f, void **state)
{
	image_create(&f->image, PAGES * page_size_of(memory_of(state)), "d", 37);
	disk_create(&f->disk, &f->image, true);
	guest_map(&f->guest, memory_of(state), f->image.length, 0, f->disk.backing);
}

static void attach(struct fixture *f, void **state, unsigned flags,
		   const struct lazymem_dirty *present)
{
	const struct lazymem_attach_options options = {
		.size = sizeof(options),
		.flags = flags,
		.tracking_most = tracking_of(state),
		.present = present,
	};

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

static void advise_away(const struct fixture *f, size_t page, size_t count)
{
	assert_int_equal(madvise(page_at(f, page), count * f->guest.page, MADV_DONTNEED), 0);
}

static int sync_all(const struct fixture *f)
{
	return lazymem_mapping_sync(f->guest.mapping, 0, f->guest.length);
}

/* Page 1 is there, page 2 is missing: that one is discarded. */
static void test_a_sync_keeps_what_memory_has(void **state)
{
	struct fixture f;

	begin(&f, state);
	attach(&f, state, LAZYMEM_ATTACH_WRITE_BACK, NULL);
	memset(page_at(&f, 1), STAMP, f.guest.page);
	assert_ok(sync_all(&f));
	advise_away(&f, 1, 2);
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.durable[f.guest.page], STAMP);
	assert_true(all_zero(f.disk.durable + 2 * f.guest.page, f.guest.page));
	assert_int_equal(page_at(&f, 1)[5], STAMP);
	assert_true(all_zero(page_at(&f, 2), f.guest.page));
	assert_ok(sync_all(&f));
	assert_memory_equal(f.disk.durable + f.guest.page, page_at(&f, 1), 2 * f.guest.page);
	end(&f);
}

/* MADV_REMOVE takes the data: the same event, and another end of it. */
static void test_what_is_removed_is_a_hole(void **state)
{
	struct fixture f;

	begin(&f, state);
	attach(&f, state, LAZYMEM_ATTACH_WRITE_BACK, NULL);
	memset(page_at(&f, 1), STAMP, f.guest.page);
	assert_ok(sync_all(&f));
	assert_int_equal(f.disk.written, f.guest.page);
	assert_int_equal(madvise(page_at(&f, 1), f.guest.page, MADV_REMOVE), 0);
	assert_ok(sync_all(&f));
	assert_true(all_zero(f.disk.durable + f.guest.page, f.guest.page));
	assert_int_equal(f.disk.written, f.guest.page);
	end(&f);
}

/* Byte 5 of a page, in a snapshot of all memory. */
static unsigned char in_snapshot(const struct fixture *f, size_t page)
{
	struct lazymem_snapshot *snapshot = NULL;
	struct lazymem_moment *moment = NULL;
	unsigned char byte = 0;
	uint64_t length;

	assert_ok(lazymem_moment_create(f->guest.attachment, &moment));
	assert_ok(lazymem_moment_take(moment, &length));
	assert_ok(lazymem_moment_write(moment, scratch_path("whole"), NULL));
	lazymem_moment_destroy(moment);
	assert_ok(lazymem_snapshot_open(scratch_path("whole"), NULL, &snapshot));
	assert_ok(lazymem_backing_read(lazymem_snapshot_backing(snapshot), page * f->guest.page + 5,
				       &byte, 1));
	lazymem_snapshot_unref(snapshot);
	return byte;
}

static void test_a_snapshot_has_what_memory_has(void **state)
{
	struct fixture f;

	begin(&f, state);
	attach(&f, state, LAZYMEM_ATTACH_TRACK, NULL);
	memset(page_at(&f, 1), STAMP, f.guest.page);
	advise_away(&f, 1, 2);
	assert_int_equal(in_snapshot(&f, 1), STAMP);
	assert_int_equal(page_at(&f, 1)[5], STAMP);
	assert_int_equal(page_at(&f, 2)[5], 0);
	end(&f);
}

static void fill_through_another_mapping(const struct fixture *f, size_t page)
{
	unsigned char *other;
	uint64_t offset;
	int fd;

	assert_ok(lazymem_mapping_fd(f->guest.mapping, &fd, &offset));
	other = mmap(NULL, f->guest.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	assert_ptr_not_equal(other, MAP_FAILED);
	memset(other + page * f->guest.page, STAMP, f->guest.page);
	assert_int_equal(munmap(other, f->guest.length), 0);
}

static void test_a_present_page_may_have_been_filled_through_another_mapping(void **state)
{
	struct lazymem_dirty *present = NULL;
	struct fixture f;

	begin(&f, state);
	fill_through_another_mapping(&f, 4);
	assert_ok(lazymem_dirty_create(f.guest.memory, &present));
	assert_ok(lazymem_dirty_add(
		present,
		(struct lazymem_guest_range){guest_address(3 * f.guest.page), 2 * f.guest.page}));
	attach(&f, state, LAZYMEM_ATTACH_TRACK, present);
	lazymem_dirty_destroy(present);
	assert_int_equal(in_snapshot(&f, 4), STAMP);
	assert_int_equal(page_at(&f, 4)[5], STAMP);
	assert_int_equal(page_at(&f, 3)[5], 0);
	end(&f);
}

/* A file of the caller's own, 100 bytes short of its pages. */
static int map_cut_off(struct fixture *f)
{
	const int fd = memfd_create("cut off", MFD_CLOEXEC);
	struct lazymem_region *region = NULL;

	assert_true(fd >= 0);
	f->guest = (struct guest){.length = f->image.length, .page = PAGE};
	assert_int_equal(ftruncate(fd, (off_t)f->image.length - 100), 0);
	f->guest.host = mmap(NULL, f->image.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(f->guest.host, MAP_FAILED);
	assert_ok(lazymem_mapping_adopt(f->guest.host, f->image.length, fd, 0, NULL,
					&f->guest.mapping));
	assert_ok(lazymem_region_create(f->guest.mapping, guest_address(0), f->disk.backing, 0,
					&region));
	assert_ok(lazymem_memory_create(&region, 1, &f->guest.memory));
	lazymem_region_unref(region);
	return fd;
}

static void test_a_file_may_end_inside_its_last_page(void **state)
{
	struct fixture f;
	unsigned char *host;
	int fd;

	image_create(&f.image, PAGES * PAGE, "d", 37);
	disk_create(&f.disk, &f.image, true);
	fd = map_cut_off(&f);
	host = f.guest.host;
	attach(&f, state, LAZYMEM_ATTACH_WRITE_BACK, NULL);
	memset(page_at(&f, PAGES - 2), STAMP, 2 * PAGE - 100);
	advise_away(&f, PAGES - 2, 2);
	assert_ok(sync_all(&f));
	assert_memory_equal(f.disk.durable + (PAGES - 2) * PAGE, page_at(&f, PAGES - 2), 2 * PAGE);
	end(&f);
	munmap(host, PAGES * PAGE);
	close(fd);
}

#define IN_EACH_SHARED_AND_THE_WORST_WAY(function)                                                 \
	IN_EACH_SHARED_WAY(function),                                                              \
		TEST_NAMED(function, #function " (memfd, populated)",                              \
			   WAY(MEMFD, LAZYMEM_TRACKING_POPULATED)),                                \
		TEST_NAMED(function, #function " (hugetlb, populated)",                            \
			   WAY(HUGETLB, LAZYMEM_TRACKING_POPULATED))

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_EACH_SHARED_AND_THE_WORST_WAY(test_a_sync_keeps_what_memory_has),
		IN_EACH_SHARED_AND_THE_WORST_WAY(test_what_is_removed_is_a_hole),
		IN_EACH_SHARED_AND_THE_WORST_WAY(test_a_snapshot_has_what_memory_has),
		IN_EACH_SHARED_AND_THE_WORST_WAY(
			test_a_present_page_may_have_been_filled_through_another_mapping),
		TEST_NAMED(test_a_file_may_end_inside_its_last_page, "cut off (kernel)",
			   WAY(MEMFD, LAZYMEM_TRACKING_KERNEL)),
		TEST_NAMED(test_a_file_may_end_inside_its_last_page, "cut off (faults)",
			   WAY(MEMFD, LAZYMEM_TRACKING_FAULTS)),
	};

	require_faults();
	require_hugetlb(BLOCK, PAGES);
	return run_group(tests);
}
