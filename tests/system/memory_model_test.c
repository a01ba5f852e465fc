/* SPDX-License-Identifier: MIT
 *
 * memory_model_test.c - guest memory that is a file means the same whether it is
 * mapped eagerly (a shared mapping of the file) or filled lazily and written
 * back: the same tests, with the same assertions, for the one and for each kind
 * of memory and way to track of the other.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <support/actor.h>
#include <support/file_memory.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the tests look at */

static unsigned char *page_at(const struct file_memory *f, size_t page)
{
	return f->host + page * f->page;
}

static int sync_all(const struct file_memory *f)
{
	return lazymem_memory_sync(f->memory, guest_address(0), f->pages * f->page);
}

static int discard(const struct file_memory *f, size_t page, size_t count)
{
	return lazymem_memory_discard(f->memory, guest_address(page * f->page), count * f->page);
}

static unsigned char in_file(const struct file_memory *f, uint64_t offset)
{
	unsigned char byte = 0;

	assert_int_equal(pread(f->file, &byte, 1, (off_t)offset), 1);
	return byte;
}

/* The file has what the memory has, as far as it goes. */
static void expect_in_file(const struct file_memory *f)
{
	unsigned char *bytes = malloc(f->image.length);
	struct stat status;

	assert_non_null(bytes);
	assert_int_equal(fstat(f->file, &status), 0);
	assert_int_equal(status.st_size, f->image.length);
	assert_int_equal(pread(f->file, bytes, f->image.length, 0), f->image.length);
	assert_memory_equal(bytes, f->host, f->image.length);
	free(bytes);
}

/* ---- reading and writing */

static void test_it_reads_as_the_file(void **state)
{
	unsigned char copy[2 * PAGE];
	uint64_t word, expected;
	struct file_memory f;

	file_memory_begin(&f, state);
	memcpy(&expected, f.image.bytes + f.page - 3, sizeof(expected));
	assert_ok(lazymem_memory_load_u64(f.memory, guest_address(f.page - 3), &word));
	assert_int_equal(word, expected);
	assert_ok(lazymem_memory_read(f.memory, guest_address(f.page + 5), copy, sizeof(copy)));
	assert_memory_equal(copy, f.image.bytes + f.page + 5, sizeof(copy));
	assert_true(image_matches(&f.image, 0, f.host, f.image.length));
	file_memory_end(&f);
}

static void test_what_is_written_in_one_way_is_read_in_all(void **state)
{
	unsigned char bytes[100];
	uint32_t word;
	struct file_memory f;

	file_memory_begin(&f, state);
	memset(bytes, STAMP, sizeof(bytes));
	assert_ok(lazymem_memory_write(f.memory, guest_address(2 * f.page - 50), bytes,
				       sizeof(bytes)));
	assert_memory_equal(page_at(&f, 2) - 50, bytes, sizeof(bytes));
	assert_ok(lazymem_memory_store_u32(f.memory, guest_address(f.page), 0x01020304));
	assert_int_equal(page_at(&f, 1)[0], 4);
	page_at(&f, 1)[3] = 9;
	assert_ok(lazymem_memory_load_u32(f.memory, guest_address(f.page), &word));
	assert_int_equal(word, 0x09020304);
	file_memory_end(&f);
}

/* ---- sync */

static void test_what_was_written_is_in_the_file_after_a_sync(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	for (size_t page = 0; page < f.pages; page++)
		page_at(&f, page)[page] = STAMP;
	assert_ok(sync_all(&f));
	for (size_t page = 0; page < f.pages; page++)
		assert_int_equal(in_file(&f, page * f.page + page), STAMP);
	expect_in_file(&f);
	page_at(&f, 1)[7] = STAMP + 1;
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	file_memory_end(&f);
}

static void test_a_sync_of_a_range_is_of_all_pages_that_it_touches(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	memset(page_at(&f, 1), STAMP, f.page);
	memset(page_at(&f, 2), STAMP, f.page);
	assert_ok(lazymem_mapping_sync(f.mappings[0], f.page, f.page + 1));
	assert_int_equal(in_file(&f, f.page), STAMP);
	assert_int_equal(in_file(&f, 3 * f.page - 1), STAMP);
	file_memory_end(&f);
}

static void test_a_sync_of_what_nobody_wrote_changes_nothing(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	touch(page_at(&f, 1));
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	assert_true(image_matches(&f.image, 0, f.host, f.image.length));
	file_memory_end(&f);
}

struct writer {
	struct file_memory *f;
	atomic_bool *over;
	size_t byte;
};

static int write_until_over(void *argument)
{
	const struct writer *writer = argument;
	uint64_t seed = writer->byte;

	while (!atomic_load(writer->over))
		__atomic_store_n(page_at(writer->f, next_random(&seed) % writer->f->pages) +
					 writer->byte,
				 (unsigned char)seed, __ATOMIC_RELAXED);
	return 0;
}

static void test_no_write_is_lost_that_is_made_during_syncs(void **state)
{
	struct writer writers[2];
	struct actor actors[2];
	atomic_bool over = false;
	struct file_memory f;

	file_memory_begin(&f, state);
	for (size_t i = 0; i < 2; i++) {
		writers[i] = (struct writer){&f, &over, 8 * i};
		actor_start(&actors[i], write_until_over, &writers[i]);
	}
	for (unsigned i = 0; i < 5; i++)
		assert_ok(sync_all(&f));
	atomic_store(&over, true);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(actor_join(&actors[i]), 0);
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	file_memory_end(&f);
}

/* ---- discard */

static void test_what_is_discarded_reads_as_zeros_and_its_neighbours_stay(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	page_at(&f, 1)[0] = STAMP;
	assert_ok(discard(&f, 1, 2));
	assert_true(all_zero(page_at(&f, 1), 2 * f.page));
	assert_true(image_matches(&f.image, 0, f.host, f.page));
	assert_true(image_matches(&f.image, 3 * f.page, page_at(&f, 3), f.page));
	file_memory_end(&f);
}

static void test_what_is_discarded_is_a_hole_of_the_file_after_a_sync(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	touch(page_at(&f, 1));
	assert_ok(discard(&f, 1, 2));
	assert_ok(sync_all(&f));
	assert_int_equal(lseek(f.file, (off_t)f.page, SEEK_HOLE), f.page);
	assert_int_equal(lseek(f.file, (off_t)f.page, SEEK_DATA), 3 * f.page);
	expect_in_file(&f);
	file_memory_end(&f);
}

static void test_what_is_discarded_does_not_come_back(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	assert_ok(discard(&f, 0, 2));
	assert_ok(lazymem_memory_prefetch(f.memory, guest_address(0), f.pages * f.page));
	assert_true(all_zero(f.host, 2 * f.page));
	file_memory_unmap(&f);
	file_memory_map(&f);
	assert_true(all_zero(f.host, 2 * f.page));
	assert_true(image_matches(&f.image, 3 * f.page, page_at(&f, 3), f.page));
	file_memory_end(&f);
}

static void test_what_is_written_after_a_discard_stays(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	page_at(&f, 1)[9] = 1;
	assert_ok(discard(&f, 1, 1));
	page_at(&f, 1)[10] = STAMP;
	assert_ok(sync_all(&f));
	assert_int_equal(in_file(&f, f.page + 9), 0);
	assert_int_equal(in_file(&f, f.page + 10), STAMP);
	expect_in_file(&f);
	file_memory_end(&f);
}

static void test_memory_that_is_discarded_takes_none(void **state)
{
	uint64_t bytes = 0;
	struct file_memory f;

	file_memory_begin(&f, state);
	for (size_t page = 0; page < f.pages; page++)
		page_at(&f, page)[0] = STAMP;
	assert_ok(lazymem_memory_resident(f.memory, guest_address(0), f.pages * f.page, &bytes));
	assert_int_equal(bytes, f.pages * f.page);
	assert_ok(discard(&f, 1, 2));
	assert_ok(lazymem_memory_resident(f.memory, guest_address(f.page), 2 * f.page, &bytes));
	assert_int_equal(bytes, 0);
	file_memory_end(&f);
}

/* ---- the end, and the next beginning */

static void test_what_was_synced_is_there_when_it_is_opened_again(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	memset(page_at(&f, 1), STAMP, f.page);
	assert_ok(discard(&f, 2, 1));
	assert_ok(sync_all(&f));
	file_memory_unmap(&f);
	file_memory_map(&f);
	assert_int_equal(touch(page_at(&f, 2) - 1), STAMP);
	assert_true(all_zero(page_at(&f, 2), f.page));
	assert_true(image_matches(&f.image, 0, f.host, f.page));
	file_memory_end(&f);
}

static void test_the_last_reference_loses_nothing(void **state)
{
	struct file_memory f;

	file_memory_begin(&f, state);
	page_at(&f, 1)[1] = STAMP;
	assert_ok(discard(&f, 2, 1));
	file_memory_unmap(&f);
	assert_int_equal(in_file(&f, f.page + 1), STAMP);
	assert_int_equal(in_file(&f, 2 * f.page), 0);
	file_memory_end(&f);
}

static void test_a_mapping_lives_on_while_somebody_holds_it(void **state)
{
	struct lazymem_mapping *kept;
	struct file_memory f;

	file_memory_begin(&f, state);
	kept = lazymem_mapping_ref(f.mappings[0]);
	touch(page_at(&f, 1));
	page_at(&f, 1)[1] = STAMP;
	file_memory_unmap(&f);
	assert_int_equal(touch(page_at(&f, 1) + 1), STAMP);
	assert_int_equal(in_file(&f, f.page + 1), STAMP);
	lazymem_mapping_unref(kept);
	file_memory_end(&f);
}

/* ---- shapes */

/* The file keeps its length: what lies past its end belongs to nobody. */
static void test_a_file_may_end_inside_the_last_page(void **state)
{
	struct file_memory f;
	size_t last;

	file_memory_create(&f, state, 8, 100);
	file_memory_map(&f);
	last = f.pages * f.page;
	assert_true(all_zero(f.host + last - 100, 100));
	memset(page_at(&f, f.pages - 1), STAMP, f.page);
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	assert_int_equal(in_file(&f, last - 101), STAMP);
	assert_ok(discard(&f, f.pages - 1, 1));
	assert_ok(sync_all(&f));
	assert_int_equal(in_file(&f, last - 101), 0);
	expect_in_file(&f);
	file_memory_end(&f);
}

static void test_huge_pages_change_no_byte(void **state)
{
	struct file_memory f;

	file_memory_create(&f, state, 4 * BLOCK / PAGE, 0);
	file_memory_map(&f);
	assert_ok(lazymem_mapping_use_hugepages(f.mappings[0]));
	page_at(&f, 1)[1] = STAMP;
	assert_ok(discard(&f, 2, 1));
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	page_at(&f, 3)[1] = STAMP;
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	file_memory_end(&f);
}

/* The second half of the file right before the first, in the guest. */
static void test_two_regions_may_be_of_one_file(void **state)
{
	unsigned char bytes[64];
	struct part parts[2];
	struct file_memory f;
	size_t half;

	file_memory_create(&f, state, 8, 0);
	half = f.pages / 2 * f.page;
	parts[0] = (struct part){.offset = half, .address = 0, .length = half};
	parts[1] = (struct part){.offset = 0, .address = half, .length = half};
	assert_ok(file_memory_try_map(&f, parts, 2, PROT_READ | PROT_WRITE));
	memset(bytes, STAMP, sizeof(bytes));
	assert_ok(lazymem_memory_write(f.memory, guest_address(half - 32), bytes, sizeof(bytes)));
	assert_ok(discard(&f, 0, 1));
	assert_ok(sync_all(&f));
	assert_int_equal(in_file(&f, 2 * half - 32), STAMP);
	assert_int_equal(in_file(&f, 31), STAMP);
	assert_int_equal(in_file(&f, 32), f.image.bytes[32]);
	assert_int_equal(in_file(&f, half), 0);
	assert_int_equal(in_file(&f, half - 1), f.image.bytes[half - 1]);
	file_memory_end(&f);
}

/* ---- what is refused */

static void test_wrong_ranges_are_refused_and_do_nothing(void **state)
{
	struct file_memory f;
	size_t length;

	file_memory_begin(&f, state);
	length = f.pages * f.page;
	assert_refused(lazymem_mapping_sync(f.mappings[0], 1, f.page), -EINVAL, "sync");
	assert_refused(lazymem_mapping_sync(f.mappings[0], 0, 0), -EINVAL, "sync");
	assert_refused(lazymem_mapping_sync(f.mappings[0], length, f.page), -ERANGE, "sync");
	assert_refused(lazymem_mapping_discard(f.mappings[0], 0, f.page - 1), -EINVAL, "discard");
	assert_refused(lazymem_mapping_discard(f.mappings[0], f.page, length), -ERANGE, "discard");
	assert_refused(lazymem_memory_sync(f.memory, guest_address(0), length + 1), -EFAULT, "");
	assert_refused(lazymem_memory_discard(f.memory, guest_address(length), f.page), -EFAULT,
		       "");
	assert_true(image_matches(&f.image, 0, f.host, f.image.length));
	file_memory_end(&f);
}

static void test_memory_that_is_read_only_is_not_written(void **state)
{
	struct part all = {0};
	struct file_memory f;

	file_memory_create(&f, state, 8, 0);
	all.length = f.pages * f.page;
	assert_ok(file_memory_try_map(&f, &all, 1, PROT_READ));
	assert_refused(lazymem_memory_write(f.memory, guest_address(0), "x", 1), -EACCES, "");
	assert_refused(lazymem_memory_store_u8(f.memory, guest_address(0), 1), -EACCES, "");
	assert_true(image_matches(&f.image, 0, f.host, f.image.length));
	assert_ok(sync_all(&f));
	expect_in_file(&f);
	file_memory_end(&f);
}

/* And before the first byte of it is written, not at a sync. */
static void test_a_file_that_may_not_be_written_is_refused(void **state)
{
	struct part all = {0};
	struct file_memory f;
	int refused;

	file_memory_create(&f, state, 8, 0);
	all.length = f.pages * f.page;
	f.is_read_only = true;
	refused = file_memory_try_map(&f, &all, 1, PROT_READ | PROT_WRITE);
	assert_true(refused == -EACCES || refused == -EROFS);
	file_memory_end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		EAGER_AND_LAZY(test_it_reads_as_the_file),
		EAGER_AND_LAZY(test_what_is_written_in_one_way_is_read_in_all),
		EAGER_AND_LAZY(test_what_was_written_is_in_the_file_after_a_sync),
		EAGER_AND_LAZY(test_a_sync_of_a_range_is_of_all_pages_that_it_touches),
		EAGER_AND_LAZY(test_a_sync_of_what_nobody_wrote_changes_nothing),
		EAGER_AND_LAZY(test_no_write_is_lost_that_is_made_during_syncs),
		EAGER_AND_LAZY(test_what_is_discarded_reads_as_zeros_and_its_neighbours_stay),
		EAGER_AND_LAZY(test_what_is_discarded_is_a_hole_of_the_file_after_a_sync),
		EAGER_AND_LAZY(test_what_is_discarded_does_not_come_back),
		EAGER_AND_LAZY(test_what_is_written_after_a_discard_stays),
		EAGER_AND_LAZY(test_memory_that_is_discarded_takes_none),
		EAGER_AND_LAZY(test_what_was_synced_is_there_when_it_is_opened_again),
		EAGER_AND_LAZY(test_the_last_reference_loses_nothing),
		EAGER_AND_LAZY(test_a_mapping_lives_on_while_somebody_holds_it),
		EAGER_AND_LAZY(test_a_file_may_end_inside_the_last_page),
		EAGER_AND_LAZY(test_huge_pages_change_no_byte),
		EAGER_AND_LAZY(test_two_regions_may_be_of_one_file),
		EAGER_AND_LAZY(test_wrong_ranges_are_refused_and_do_nothing),
		EAGER_AND_LAZY(test_memory_that_is_read_only_is_not_written),
		EAGER_AND_LAZY(test_a_file_that_may_not_be_written_is_refused),
	};

	require_faults();
	require_hugetlb(BLOCK, 4);
	return run_group(tests);
}
