/* SPDX-License-Identifier: MIT
 *
 * zero_page_test.c - what the source knows to be zero is never read, but it
 * is zero when it arrives.
 */
#include <lazymem/file.h>
#include <lazymem/inject.h>
#include <lazymem/zero.h>
#include <stdatomic.h>
#include <support/actor.h>
#include <support/guest.h>
#include <support/image.h>

#define LENGTH (8 * MIB)

static atomic_uint reads;
static atomic_uint reads_of_holes;
static const struct image *read_image;

static void observe(void *context, const struct lazymem_inject_read *read)
{
	(void)context;
	atomic_fetch_add(&reads, 1);
	for (uint64_t at = read->offset; at < read->offset + read->length; at += PAGE)
		if (image_letter(read_image, at) == 'h')
			atomic_fetch_add(&reads_of_holes, 1);
}

/* A recorded sparse file. */
static struct lazymem_backing *open_recorded(const struct image *image)
{
	struct lazymem_backing *file, *recorded;

	read_image = image;
	atomic_store(&reads, 0);
	atomic_store(&reads_of_holes, 0);
	assert_ok(lazymem_file_open(image_write(image, "sparse"), NULL, &file));
	assert_ok(lazymem_inject_record(file, observe, NULL, &recorded));
	lazymem_backing_unref(file);
	return recorded;
}

static void test_holes_of_a_file_arrive_as_zeros_without_a_read(void **state)
{
	struct image image;
	struct guest guest;

	image_create(&image, LENGTH, "h", 1);
	struct lazymem_backing *backing = open_recorded(&image);
	guest_start(&guest, kind_of(state), LENGTH, backing);
	assert_true(all_zero(guest.host, LENGTH));
	struct lazymem_statistics s = statistics_at_rest(guest.attachment);
	assert_int_equal(s.faults, s.zeroed + s.continued);
	assert_int_equal(s.bytes_read, 0);
	assert_int_equal(atomic_load(&reads), 0);
	guest_end(&guest);
	lazymem_backing_unref(backing);
	image_destroy(&image);
}

static void test_holes_beside_data_are_not_read(void **state)
{
	struct image image;
	struct guest guest;

	image_create(&image, LENGTH, "dhhd", 2);
	struct lazymem_backing *backing = open_recorded(&image);
	guest_start(&guest, kind_of(state), LENGTH, backing);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	assert_true(atomic_load(&reads) > 0);
	assert_int_equal(atomic_load(&reads_of_holes), 0);
	guest_end(&guest);
	lazymem_backing_unref(backing);
	image_destroy(&image);
}

static void test_a_prefetch_does_not_read_holes(void **state)
{
	struct image image;
	struct guest guest;

	image_create(&image, LENGTH, "dhhd", 3);
	struct lazymem_backing *backing = open_recorded(&image);
	guest_start(&guest, kind_of(state), LENGTH, backing);
	guest_prefetch(&guest, 0, 0);
	assert_true(image_matches(&image, 0, guest.host, LENGTH));
	assert_int_equal(atomic_load(&reads_of_holes), 0);
	guest_end(&guest);
	lazymem_backing_unref(backing);
	image_destroy(&image);
}

static void test_a_hole_can_be_written_first(void **state)
{
	struct lazymem_backing *zeros;
	struct guest guest;

	assert_ok(lazymem_zero_create(LENGTH, &zeros));
	guest_start(&guest, kind_of(state), LENGTH, zeros);
	assert_int_equal(stamp(guest.host + 5), STAMP);
	assert_int_equal(guest.host[5], STAMP);
	assert_true(all_zero(guest.host, 5));
	assert_true(all_zero(guest.host + 6, guest.page - 6));
	guest_end(&guest);
	lazymem_backing_unref(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_EACH_KIND(test_holes_of_a_file_arrive_as_zeros_without_a_read),
		TEST_NAMED(test_holes_beside_data_are_not_read, "holes beside data (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_holes_beside_data_are_not_read, "holes beside data (memfd)", MEMFD),
		TEST_NAMED(test_a_prefetch_does_not_read_holes, "prefetch of holes (anonymous)",
			   ANONYMOUS),
		TEST_NAMED(test_a_prefetch_does_not_read_holes, "prefetch of holes (memfd)", MEMFD),
		TEST_EACH_KIND(test_a_hole_can_be_written_first),
	};

	require_faults();
	require_hugetlb(BLOCK, LENGTH / BLOCK);
	return run_group(tests);
}
