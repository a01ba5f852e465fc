/* SPDX-License-Identifier: MIT
 *
 * overlay_test.c - what an overlay shows: the base where nothing was written, what
 * was written and flushed after any end of the process, and whose it is.
 */
#include "backing/overlay_format.h"

#include "overlay_fixture.h"

#include <lazymem/bytes.h>
#include <lazymem/zero.h>
#include <sys/stat.h>

static bool file_is_there(void)
{
	return access(path, F_OK) == 0;
}

static void poke(uint64_t offset, unsigned char byte)
{
	const int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
	close(fd);
}

static void assert_refused(int error, int wanted, const char *part)
{
	assert_int_equal(error, wanted);
	assert_null(overlay);
	assert_says(part);
}

/* ---- contents ------------------------------------------------------------- */

static void new_one_is_as_its_base(void **state)
{
	struct lazymem_identity own, below;
	struct lazymem_extent extent;

	(void)state;
	open_overlay();
	assert_int_equal(lazymem_backing_length(overlay), LENGTH);
	assert_holds();
	assert_int_equal(lazymem_backing_identity(overlay, &own), 0);
	assert_int_equal(lazymem_backing_identity(base, &below), 0);
	assert_memory_equal(&own, &below, sizeof(own));
	assert_int_equal(lazymem_backing_extent(overlay, 10 * PAGE, 20 * PAGE, &extent), 0);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	assert_int_equal(extent.length, 6 * PAGE);
}

static void base_stays_as_it_is(void **state)
{
	(void)state;
	open_overlay();
	put(2 * PAGE, 3 * PAGE);
	put(9 * PAGE + 5, 10);
	discard(20 * PAGE, PAGE);
	flush();
	assert_holds();
	assert_int_equal(lazymem_backing_read(base, 0, buffer, 8 * PAGE), 0);
	assert_true(sample_matches(buffer, 0, 8 * PAGE));
	assert_int_equal(lazymem_backing_read(base, 20 * PAGE, buffer, PAGE), 0);
	assert_true(sample_matches(buffer, 20 * PAGE, PAGE));
}

static void block_that_is_written_in_part_is_completed_from_the_base(void **state)
{
	(void)state;
	open_overlay();
	put(3 * PAGE + 100, 50);
	assert_holds();
	put(4 * PAGE - 10, 20); /* the ends of two blocks */
	assert_holds();
	put(8 * PAGE + 1, 1); /* in a hole */
	assert_holds();
	put(5 * PAGE + 4000, 3 * PAGE); /* with whole ones between */
	assert_holds();
	put(LENGTH - 5, 5); /* at the end */
	assert_holds();
	flush();
	crash();
	assert_holds();
}

static void last_block_is_whole_up_to_the_end(void **state)
{
	(void)state;
	open_overlay();
	put(39 * PAGE, LENGTH - 39 * PAGE);
	assert_holds();
	flush();
	crash();
	assert_holds();
	discard(39 * PAGE, LENGTH - 39 * PAGE);
	assert_holds();
}

static void what_is_discarded_is_zero_and_not_the_base(void **state)
{
	struct lazymem_extent extent;

	(void)state;
	open_overlay();
	put(4 * PAGE, PAGE);
	flush();
	discard(3 * PAGE, 3 * PAGE); /* from the base, written, from the base */
	assert_holds();
	assert_int_equal(lazymem_backing_extent(overlay, 3 * PAGE, 10 * PAGE, &extent), 0);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	assert_int_equal(extent.length, 3 * PAGE);
	flush();
	crash();
	assert_holds();
}

static void discard_may_begin_and_end_anywhere(void **state)
{
	(void)state;
	open_overlay();
	put(20 * PAGE, PAGE);
	discard(3 * PAGE + 100, 200);
	assert_holds();
	discard(16 * PAGE + 10, 2 * PAGE);
	assert_holds();
	discard(20 * PAGE - 1, 2);
	assert_holds();
	discard(4 * PAGE - 1, 4 * PAGE + 2);
	assert_holds();
	discard(LENGTH - 1, 1);
	assert_holds();
	flush();
	crash();
	assert_holds();
}

static void block_that_was_discarded_can_be_written_in_part(void **state)
{
	(void)state;
	open_overlay();
	put(2 * PAGE, PAGE);
	flush();
	discard(2 * PAGE, PAGE);
	put(2 * PAGE + 7, 9);
	assert_holds();
	flush();
	crash();
	assert_holds();
}

static void written_blocks_are_data_until_they_are_discarded(void **state)
{
	struct lazymem_extent extent;

	(void)state;
	open_overlay();
	put(9 * PAGE, PAGE);
	assert_int_equal(lazymem_backing_extent(overlay, 9 * PAGE, 5 * PAGE, &extent), 0);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_DATA);
	assert_int_equal(extent.length, PAGE);
	assert_int_equal(lazymem_backing_extent(overlay, 8 * PAGE, 5 * PAGE, &extent), 0);
	assert_int_equal(extent.kind, LAZYMEM_EXTENT_ZERO);
	assert_int_equal(extent.length, PAGE);
}

static void one_that_was_written_is_known_by_nothing(void **state)
{
	struct lazymem_identity identity;

	(void)state;
	open_overlay();
	put(0, 1);
	assert_int_equal(lazymem_backing_identity(overlay, &identity), -ENODATA);
	reopen();
	assert_int_equal(lazymem_backing_identity(overlay, &identity), -ENODATA);
}

/* ---- ends ----------------------------------------------------------------- */

static void what_was_flushed_is_there_after_a_kill(void **state)
{
	(void)state;
	open_overlay();
	put(0, 5 * PAGE);
	flush();
	crash();
	assert_holds();
	put(2 * PAGE, PAGE); /* in its place: no map to write */
	flush();
	crash();
	assert_holds();
}

static void what_was_not_flushed_is_as_before_after_a_kill(void **state)
{
	(void)state;
	open_overlay();
	put(1 * PAGE, PAGE);
	flush();
	memcpy(buffer, expected, sizeof(buffer));
	put(3 * PAGE, PAGE);
	put(17 * PAGE + 9, 100);
	discard(5 * PAGE, PAGE);
	memcpy(expected, buffer, sizeof(expected));
	crash();
	assert_holds();
}

static void closing_flushes(void **state)
{
	(void)state;
	open_overlay();
	put(7 * PAGE, 4 * PAGE);
	discard(16 * PAGE, PAGE);
	reopen();
	assert_holds();
	reopen();
	assert_holds();
}

/* ---- whose it is ---------------------------------------------------------- */

static void another_base_is_refused_by_name(void **state)
{
	struct lazymem_backing *other;
	char *other_path = path_of("other");

	(void)state;
	open_overlay();
	close_overlay();
	sample_write(other_path, 0, LENGTH + 1);
	assert_int_equal(lazymem_file_open(other_path, NULL, &other), 0);
	assert_refused(open_over(other, 0), -ESTALE, "other");
	assert_says("/overlay: ");
	lazymem_backing_unref(other);
	free(other_path);
}

static void base_of_another_length_is_refused(void **state)
{
	struct lazymem_identity identity;
	const struct lazymem_overlay_options options = {.size = sizeof(options),
							.base_identity = &identity};
	struct lazymem_backing *zero;

	(void)state;
	memset(&identity, 5, sizeof(identity));
	assert_int_equal(lazymem_overlay_open(path, base, &options, &overlay), 0);
	close_overlay();
	assert_int_equal(lazymem_zero_create(LENGTH + 1, &zero), 0);
	assert_refused(lazymem_overlay_open(path, zero, &options, &overlay), -EINVAL, "bytes");
	lazymem_backing_unref(zero);
}

static void base_that_nothing_is_known_of_needs_an_identity(void **state)
{
	struct lazymem_identity identity;
	const struct lazymem_overlay_options options = {.size = sizeof(options),
							.base_identity = &identity};
	struct lazymem_backing *bytes;

	(void)state;
	assert_int_equal(lazymem_bytes_create(expected, LENGTH, NULL, NULL, &bytes), 0);
	assert_refused(open_over(bytes, 0), -ENODATA, "nothing to bind it to");
	assert_false(file_is_there());
	memset(&identity, 0, sizeof(identity));
	assert_refused(lazymem_overlay_open(path, bytes, &options, &overlay), -ENODATA, "zeros");
	memset(&identity, 9, sizeof(identity));
	assert_int_equal(lazymem_overlay_open(path, bytes, &options, &overlay), 0);
	assert_holds();
	close_overlay();
	assert_refused(open_over(base, 0), -ESTALE, "another base");
	lazymem_backing_unref(bytes);
}

static void one_writer_or_many_readers(void **state)
{
	struct lazymem_backing *first;

	(void)state;
	open_overlay();
	first = overlay;
	overlay = NULL;
	assert_refused(open_over(base, 0), -EBUSY, "open already");
	assert_refused(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), -EBUSY, "open already");
	lazymem_backing_unref(first);
	assert_int_equal(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), 0);
	first = overlay;
	overlay = NULL;
	assert_int_equal(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), 0);
	close_overlay();
	assert_refused(open_over(base, 0), -EBUSY, "open already");
	lazymem_backing_unref(first);
	open_overlay();
}

static void reader_cannot_write(void **state)
{
	(void)state;
	assert_refused(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), -ENOENT, "/overlay");
	open_overlay();
	put(PAGE, PAGE);
	discard(3 * PAGE, PAGE);
	close_overlay();
	assert_int_equal(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), 0);
	assert_holds();
	assert_false(lazymem_backing_is_writable(overlay));
	assert_int_equal(lazymem_backing_discard(overlay, 0, PAGE), -EROFS);
}

/* ---- what is no overlay --------------------------------------------------- */

static void what_is_no_overlay_is_left_alone(void **state)
{
	struct stat status;

	(void)state;
	sample_write(path, 0, 3 * PAGE);
	assert_refused(open_over(base, 0), -EBADMSG, "does not begin with LZMOVERL");
	assert_int_equal(truncate(path, 100), 0);
	assert_refused(open_over(base, 0), -EBADMSG, "too short");
	assert_int_equal(truncate(path, 0), 0);
	assert_refused(open_over(base, 0), -EBADMSG, "too short");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_size, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(open_over(base, 0), -EINVAL, "no regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(open_over(base, LAZYMEM_OVERLAY_READ_ONLY), -EISDIR, "directory");
	assert_refused(open_over(base, 0), -EISDIR, "irectory");
	assert_int_equal(rmdir(path), 0);
}

static void damage_is_refused(void **state)
{
	(void)state;
	open_overlay();
	put(0, PAGE);
	close_overlay();
	poke(4096 + 300, 0x55);
	assert_refused(open_over(base, 0), -EBADMSG, "sector 0 of its map");
	poke(4096 + 300, 0);
	open_overlay();
	close_overlay();
	poke(33, 1);
	poke(34, 1);
	assert_refused(open_over(base, 0), -EBADMSG, "checksum");
}

static void file_that_was_cut_off_is_refused(void **state)
{
	(void)state;
	open_overlay();
	close_overlay();
	assert_int_equal(truncate(path, (off_t)lm_overlay_file_length(LENGTH) - 1), 0);
	assert_refused(open_over(base, 0), -EBADMSG, "it must have");
}

static void arguments_are_checked(void **state)
{
	const struct lazymem_overlay_options unknown = {.size = sizeof(unknown), .flags = 2};
	const struct {
		struct lazymem_overlay_options known;
		uint64_t more;
	} longer = {{.size = sizeof(longer)}, 1};

	(void)state;
	assert_refused(lazymem_overlay_open(NULL, base, NULL, &overlay), -EINVAL, "a path");
	assert_refused(lazymem_overlay_open(path, NULL, NULL, &overlay), -EINVAL, "a base");
	assert_refused(lazymem_overlay_open(path, base, &unknown, &overlay), -EINVAL, "flag");
	assert_refused(lazymem_overlay_open(path, base, &longer.known, &overlay), -E2BIG, "known");
	assert_false(file_is_there());
}

/* ---- describe ------------------------------------------------------------- */

static void description_counts_blocks(void **state)
{
	struct lazymem_overlay_description description = {.size = sizeof(description)};
	struct lazymem_identity identity;

	(void)state;
	assert_int_equal(lazymem_overlay_describe(path, &description), -ENOENT);
	open_overlay();
	put(2 * PAGE, 3 * PAGE);
	put(39 * PAGE + 1, 1);
	discard(16 * PAGE, 2 * PAGE);
	assert_int_equal(lazymem_overlay_describe(path, &description), -EBUSY);
	close_overlay();
	assert_int_equal(lazymem_overlay_describe(path, &description), 0);
	assert_int_equal(lazymem_backing_identity(base, &identity), 0);
	assert_memory_equal(&description.base, &identity, sizeof(identity));
	assert_int_equal(description.length, LENGTH);
	assert_int_equal(description.written, 4 * PAGE);
	assert_int_equal(description.discarded, 2 * PAGE);
	assert_int_equal(description.file_length, lm_overlay_file_length(LENGTH));
	description.size = 1;
	assert_int_equal(lazymem_overlay_describe(path, &description), -EINVAL);
	assert_int_equal(lazymem_overlay_describe(NULL, &description), -EINVAL);
}

static void changed_blocks_are_told(void **state)
{
	uint64_t start = 7, length = 7;

	(void)state;
	open_overlay();
	assert_int_equal(lazymem_overlay_changed(overlay, 0, &start, &length), -ENOENT);
	assert_int_equal(lazymem_overlay_changed(base, 0, &start, &length), -EINVAL);
	assert_says("no overlay");
	assert_int_equal(start, 7);
	put(3 * PAGE + 5, PAGE);
	discard(5 * PAGE, PAGE);
	put(38 * PAGE, LENGTH - 38 * PAGE);
	assert_int_equal(lazymem_overlay_changed(overlay, 0, &start, &length), 0);
	assert_int_equal(start, 3 * PAGE);
	assert_int_equal(length, 3 * PAGE);
	assert_int_equal(lazymem_overlay_changed(overlay, 4 * PAGE + 1, &start, &length), 0);
	assert_int_equal(start, 4 * PAGE);
	assert_int_equal(length, 2 * PAGE);
	assert_int_equal(lazymem_overlay_changed(overlay, 6 * PAGE, &start, &length), 0);
	assert_int_equal(start, 38 * PAGE);
	assert_int_equal(length, LENGTH - 38 * PAGE);
	assert_int_equal(lazymem_overlay_changed(overlay, LENGTH, &start, &length), -ENOENT);
	assert_int_equal(lazymem_overlay_changed(overlay, UINT64_MAX, &start, &length), -ENOENT);
}

int main(void)
{
#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(new_one_is_as_its_base),
		CASE(base_stays_as_it_is),
		CASE(block_that_is_written_in_part_is_completed_from_the_base),
		CASE(last_block_is_whole_up_to_the_end),
		CASE(what_is_discarded_is_zero_and_not_the_base),
		CASE(discard_may_begin_and_end_anywhere),
		CASE(block_that_was_discarded_can_be_written_in_part),
		CASE(written_blocks_are_data_until_they_are_discarded),
		CASE(one_that_was_written_is_known_by_nothing),
		CASE(what_was_flushed_is_there_after_a_kill),
		CASE(what_was_not_flushed_is_as_before_after_a_kill),
		CASE(closing_flushes),
		CASE(another_base_is_refused_by_name),
		CASE(base_of_another_length_is_refused),
		CASE(base_that_nothing_is_known_of_needs_an_identity),
		CASE(one_writer_or_many_readers),
		CASE(reader_cannot_write),
		CASE(what_is_no_overlay_is_left_alone),
		CASE(damage_is_refused),
		CASE(file_that_was_cut_off_is_refused),
		CASE(arguments_are_checked),
		CASE(description_counts_blocks),
		CASE(changed_blocks_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
