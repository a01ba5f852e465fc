/* wrap: malloc */
/* SPDX-License-Identifier: MIT
 *
 * inject_power_test.c - a disk that forgets what was not flushed when its power
 * fails.
 */
#include "inject_fixture.h"

#include <lazymem/file.h>

#define SECTOR 512

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

static bool no_memory;

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

static unsigned char disk[LENGTH]; /* what survives */
static unsigned char fill[LENGTH]; /* bytes of 0xcc to write */
static struct lazymem_backing *target, *power;

static int make_power(void **state)
{
	no_memory = false;
	memset(fill, 0xcc, LENGTH);
	sample_fill(disk, 0, LENGTH);
	if (lazymem_bytes_create_writable(disk, LENGTH, NULL, NULL, &target) != 0 ||
	    lazymem_inject_power(target, &power) != 0)
		return -1;
	return set_up(state);
}

static int drop_power(void **state)
{
	lazymem_backing_unref(power);
	lazymem_backing_unref(target);
	return tear_down(state);
}

/* `length` bytes of a memory from `start` on are these; the others the sample. */
static void assert_changed(const unsigned char *bytes, uint64_t start, size_t length,
			   unsigned char byte)
{
	assert_true(sample_matches(bytes, 0, start));
	for (size_t i = 0; i < length; i++)
		assert_int_equal(bytes[start + i], byte);
	assert_true(
		sample_matches(bytes + start + length, start + length, LENGTH - start - length));
}

static const unsigned char *read_all(struct lazymem_backing *object)
{
	memset(buffer, 0, LENGTH);
	assert_int_equal(lazymem_backing_read(object, 0, buffer, LENGTH), 0);
	return buffer;
}

static void what_is_written_is_read_and_not_on_the_disk(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_write(power, 1000, fill, 3000), 0);
	assert_changed(read_all(power), 1000, 3000, 0xcc);
	assert_changed(disk, 0, 0, 0);
	assert_int_equal(lazymem_backing_read(power, 1500, buffer, 100), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(buffer[i], 0xcc);
}

static void later_writes_and_discards_cover_earlier_ones(void **state)
{
	const unsigned char byte = 0xdd;

	(void)state;
	assert_int_equal(lazymem_backing_write(power, 100, fill, 10), 0);
	assert_int_equal(lazymem_backing_discard(power, 102, 5), 0);
	assert_int_equal(lazymem_backing_write(power, 104, &byte, 1), 0);
	assert_int_equal(lazymem_backing_read(power, 100, buffer, 10), 0);
	assert_memory_equal(buffer, "\xcc\xcc\0\0\xdd\0\0\xcc\xcc\xcc", 10);
	assert_int_equal(lazymem_backing_flush(power), 0);
	assert_memory_equal(disk + 100, "\xcc\xcc\0\0\xdd\0\0\xcc\xcc\xcc", 10);
}

static void a_flush_brings_it_to_the_disk(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_write(power, 1000, fill, 3000), 0);
	assert_int_equal(lazymem_backing_flush(power), 0);
	assert_changed(disk, 1000, 3000, 0xcc);
	assert_int_equal(lazymem_inject_power_failure(power, 0), 0);
	assert_changed(read_all(power), 1000, 3000, 0xcc);
}

static void what_was_not_flushed_is_lost(void **state)
{
	(void)state;
	assert_int_equal(lazymem_backing_write(power, 0, fill, 100), 0);
	assert_int_equal(lazymem_backing_flush(power), 0);
	assert_int_equal(lazymem_backing_write(power, 100, fill, 100), 0);
	assert_int_equal(lazymem_backing_discard(power, 0, 10), 0);
	assert_int_equal(lazymem_inject_power_failure(power, 0), 0);
	assert_changed(read_all(power), 0, 100, 0xcc);
	assert_changed(disk, 0, 100, 0xcc);
}

/* How many sectors of the disk were changed; each as a whole, or not at all. */
static unsigned count_changed_sectors(void)
{
	unsigned changed = 0;

	for (unsigned sector = 0; sector < LENGTH / SECTOR; sector++) {
		const unsigned char *bytes = disk + sector * SECTOR;

		if (memcmp(bytes, fill, SECTOR) == 0)
			changed++;
		else
			assert_true(sample_matches(bytes, sector * SECTOR, SECTOR));
	}
	return changed;
}

static void a_seed_loses_some_sectors_the_same_each_time(void **state)
{
	static unsigned char first[LENGTH];

	(void)state;
	for (int i = 0; i < 3; i++) {
		sample_fill(disk, 0, LENGTH);
		assert_int_equal(lazymem_backing_write(power, 0, fill, LENGTH), 0);
		assert_int_equal(lazymem_inject_power_failure(power, i < 2 ? 77 : 78), 0);
		assert_in_range(count_changed_sectors(), LENGTH / SECTOR / 4,
				LENGTH / SECTOR * 3 / 4);
		assert_memory_equal(read_all(power), disk, LENGTH);
		if (i == 0)
			memcpy(first, disk, LENGTH);
		else
			assert_int_equal(memcmp(first, disk, LENGTH) == 0, i == 1);
	}
}

static void of_two_writes_to_a_sector_any_may_be_lost(void **state)
{
	bool seen[3] = {false}; /* neither, the first, the second */
	unsigned char second[SECTOR];

	(void)state;
	memset(second, 0xdd, sizeof(second));
	for (uint64_t seed = 1; seed < 50; seed++) {
		sample_fill(disk, 0, LENGTH);
		assert_int_equal(lazymem_backing_write(power, 0, fill, SECTOR), 0);
		assert_int_equal(lazymem_backing_write(power, 0, second, SECTOR), 0);
		assert_int_equal(lazymem_inject_power_failure(power, seed), 0);
		seen[disk[0] == 0xcc ? 1 : disk[0] == 0xdd ? 2 : 0] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
}

/* ---- flushes that fail --------------------------------------------------- */

static void assert_flush_can_be_repeated(unsigned operations)
{
	const struct lazymem_inject_range range = {.operations = operations};
	struct lazymem_backing *fail, *over;

	assert_int_equal(lazymem_inject_fail(target, range, -EIO, 1, &fail), 0);
	assert_int_equal(lazymem_inject_power(fail, &over), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_write(over, 10, fill, 100), 0);
	assert_int_equal(lazymem_backing_discard(over, 10, 50), 0);
	assert_int_equal(lazymem_backing_flush(over), -EIO);
	assert_int_equal(lazymem_backing_read(over, 60, buffer, 1), 0);
	assert_int_equal(buffer[0], 0xcc);
	assert_int_equal(lazymem_backing_flush(over), 0);
	lazymem_backing_unref(over);
	assert_int_equal(disk[10], 0);
	assert_int_equal(disk[60], 0xcc);
}

static void a_flush_that_failed_forgets_nothing(void **state)
{
	(void)state;
	assert_flush_can_be_repeated(LAZYMEM_INJECT_WRITE);
	assert_flush_can_be_repeated(LAZYMEM_INJECT_FLUSH);
	assert_flush_can_be_repeated(LAZYMEM_INJECT_DISCARD);
}

static void zeros_are_written_where_the_disk_cannot_discard(void **state)
{
	const struct lazymem_inject_range range = {.operations = LAZYMEM_INJECT_DISCARD};
	struct lazymem_backing *fail, *over;

	(void)state;
	assert_int_equal(lazymem_inject_fail(target, range, -EOPNOTSUPP, UINT64_MAX, &fail), 0);
	assert_int_equal(lazymem_inject_power(fail, &over), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_discard(over, 5, 3000), 0);
	assert_int_equal(lazymem_backing_flush(over), 0);
	assert_changed(disk, 5, 3000, 0);
	lazymem_backing_unref(over);
}

/* ---- extents and identity ------------------------------------------------ */

static char *directory, *path;

static void open_hole(struct lazymem_backing **ret_file)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_WRITABLE};

	directory = sample_make_directory();
	if (asprintf(&path, "%s/file", directory) < 0)
		abort();
	sample_write(path, 0, 1);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(truncate(path, LENGTH), 0);
	assert_int_equal(lazymem_file_open(path, &options, ret_file), 0);
}

static void drop_hole(void)
{
	free(path);
	sample_remove_directory(directory);
}

static void assert_extent(struct lazymem_backing *object, uint64_t offset, uint64_t length,
			  enum lazymem_extent_kind kind)
{
	struct lazymem_extent extent;

	assert_int_equal(lazymem_backing_extent(object, offset, LENGTH - offset, &extent), 0);
	assert_int_equal(extent.length, length);
	assert_int_equal(extent.kind, kind);
}

static void a_write_that_waits_is_data(void **state)
{
	struct lazymem_backing *file, *over;
	struct lazymem_extent extent;

	(void)state;
	open_hole(&file);
	assert_int_equal(lazymem_inject_power(file, &over), 0);
	assert_int_equal(lazymem_backing_extent(file, 0, LENGTH, &extent), 0);
	if (extent.kind == LAZYMEM_EXTENT_ZERO) {
		assert_int_equal(lazymem_backing_discard(over, 0, LENGTH), 0);
		assert_int_equal(lazymem_backing_write(over, 9000, fill, 100), 0);
		assert_extent(over, 0, 9000, LAZYMEM_EXTENT_ZERO);
		assert_extent(over, 9000, 100, LAZYMEM_EXTENT_DATA);
		assert_extent(over, 9050, 50, LAZYMEM_EXTENT_DATA);
		assert_extent(over, 9100, LENGTH - 9100, LAZYMEM_EXTENT_ZERO);
		assert_int_equal(lazymem_backing_flush(over), 0);
		assert_extent(over, 8192, 4096, LAZYMEM_EXTENT_DATA);
	}
	lazymem_backing_unref(over);
	lazymem_backing_unref(file);
	drop_hole();
}

static void while_something_waits_there_is_no_identity(void **state)
{
	struct lazymem_backing *file, *over;
	struct lazymem_identity identity;

	(void)state;
	open_hole(&file);
	assert_int_equal(lazymem_inject_power(file, &over), 0);
	assert_int_equal(lazymem_backing_identity(over, &identity), 0);
	assert_int_equal(lazymem_backing_write(over, 0, fill, 1), 0);
	assert_int_equal(lazymem_backing_identity(over, &identity), -ENODATA);
	assert_int_equal(lazymem_backing_flush(over), 0);
	assert_int_equal(lazymem_backing_identity(over, &identity), 0);
	lazymem_backing_unref(over);
	lazymem_backing_unref(file);
	drop_hole();
}

/* ---- what is refused ----------------------------------------------------- */

static void wrong_arguments_are_refused(void **state)
{
	struct lazymem_backing *none = NULL;

	(void)state;
	assert_int_equal(lazymem_inject_power(NULL, &none), -EINVAL);
	assert_int_equal(lazymem_inject_power(inner, &none), -EROFS);
	assert_non_null(strstr(lazymem_error_message(), "nothing to lose"));
	assert_null(none);
	assert_int_equal(lazymem_inject_power_failure(target, 0), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "no power"));
}

static void an_error_of_the_disk_is_passed_on_by_a_failure_of_power(void **state)
{
	const struct lazymem_inject_range range = {.operations = LAZYMEM_INJECT_WRITE};
	struct lazymem_backing *fail, *over;

	(void)state;
	assert_int_equal(lazymem_inject_fail(target, range, -EIO, UINT64_MAX, &fail), 0);
	assert_int_equal(lazymem_inject_power(fail, &over), 0);
	lazymem_backing_unref(fail);
	assert_int_equal(lazymem_backing_write(over, 0, fill, LENGTH), 0);
	assert_int_equal(lazymem_inject_power_failure(over, 1), -EIO);
	lazymem_backing_unref(over);
}

static void without_memory_writes_and_discards_fail(void **state)
{
	int write_error, discard_error;

	(void)state;
	no_memory = true;
	write_error = lazymem_backing_write(power, 0, fill, 1);
	discard_error = lazymem_backing_discard(power, 0, 1);
	no_memory = false;
	assert_int_equal(write_error, -ENOMEM);
	assert_int_equal(discard_error, -ENOMEM);
	assert_changed(read_all(power), 0, 0, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_power, drop_power)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read_and_not_on_the_disk),
		TEST(later_writes_and_discards_cover_earlier_ones),
		TEST(a_flush_brings_it_to_the_disk),
		TEST(what_was_not_flushed_is_lost),
		TEST(a_seed_loses_some_sectors_the_same_each_time),
		TEST(of_two_writes_to_a_sector_any_may_be_lost),
		TEST(a_flush_that_failed_forgets_nothing),
		TEST(zeros_are_written_where_the_disk_cannot_discard),
		TEST(a_write_that_waits_is_data),
		TEST(while_something_waits_there_is_no_identity),
		TEST(wrong_arguments_are_refused),
		TEST(an_error_of_the_disk_is_passed_on_by_a_failure_of_power),
		TEST(without_memory_writes_and_discards_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
