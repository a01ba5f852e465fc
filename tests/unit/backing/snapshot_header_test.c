/* SPDX-License-Identifier: MIT
 *
 * snapshot_header_test.c - the first page of a snapshot, one rule a test.
 */
#include "format_fixture.h"

/* Byte offsets in the file; entries of sections are 32 bytes from 256 on. */
enum {
	VERSION = 8,
	HEADER_LENGTH = 12,
	PAGE_SIZE = 16,
	SECTION_COUNT = 20,
	FEATURES = 24,
	MEMORY = 32,
	FILE_SIZE = 40,
	IDENTITY = 48,
	PARENT = 80,
	RESERVED = 112,
	SECTIONS = 256,
	CHECKSUM = 4092,
};

#define SECTION(index, field) ((size_t)SECTIONS + (index)*32 + (field))
enum { TYPE = 0, FLAGS = 4, OFFSET = 8, LENGTH = 16, SUM = 24, LAST = 28 };

static unsigned char bytes[4096];

static int set_up(void **state)
{
	const struct lm_snapshot_header header = good_header();

	(void)state;
	lm_snapshot_put_header(&header, bytes);
	return 0;
}

static void put_layer(void)
{
	const struct lm_snapshot_header header = good_layer();

	lm_snapshot_put_header(&header, bytes);
}

static void put_u32(size_t offset, uint32_t value)
{
	lm_put_u32(bytes + offset, value);
}

static void put_u64(size_t offset, uint64_t value)
{
	lm_put_u64(bytes + offset, value);
}

static void seal(void)
{
	put_u32(CHECKSUM, lm_crc32c(0, bytes, CHECKSUM));
}

/* With a right checksum the header is refused, and nothing is delivered. */
static void assert_refused(int error, const char *says)
{
	struct lm_snapshot_header header;

	memset(&header, 0x5a, sizeof(header));
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH, &header), error);
	assert_says(says);
	assert_int_equal(header.file_length, 0x5a5a5a5a5a5a5a5a);
}

static void assert_accepted(struct lm_snapshot_header *ret_header)
{
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH, ret_header), 0);
}

/* Entry `index`, which was free, becomes a section of this type. */
static void add_section(uint32_t index, uint32_t type, uint32_t flags)
{
	put_u32(SECTION_COUNT, index + 1);
	put_u32(SECTION(index, TYPE), type);
	put_u32(SECTION(index, FLAGS), flags);
	put_u64(SECTION(index, OFFSET), 0x9800);
	put_u64(SECTION(index, LENGTH), 68);
}

/* ---- what is written ----------------------------------------------------- */

static void header_is_laid_out_as_the_manual_says(void **state)
{
	(void)state;
	put_layer();
	assert_memory_equal(bytes, "LZMSNAPS\1\0\0\0\0\x10\0\0\0\x10\0\0\5\0\0\0\4\0\0\0\0\0\0\0",
			    32);
	assert_int_equal(lm_get_u64(bytes + 32), MEMORY_LENGTH);
	assert_int_equal(lm_get_u64(bytes + 40), FILE_LENGTH);
	for (size_t i = 0; i < 32; i++) {
		assert_int_equal(bytes[48 + i], 0x11);
		assert_int_equal(bytes[80 + i], 0x22);
	}
	assert_int_equal(lm_get_u32(bytes + 256), 1);
	assert_int_equal(lm_get_u32(bytes + 256 + 32), 2);
	assert_int_equal(lm_get_u64(bytes + 256 + 32 + 8), 0x9010);
	assert_int_equal(lm_get_u64(bytes + 256 + 32 + 16), 4 * 32);
	assert_int_equal(lm_get_u32(bytes + 256 + 32 + 24), 2);
	assert_int_equal(lm_get_u32(bytes + 256 + 4 * 32), 6);
	assert_int_equal(lm_get_u32(bytes + 256 + 5 * 32), 0);
	assert_int_equal(lm_get_u32(bytes + 4092), lm_crc32c(0, bytes, 4092));
}

static void what_was_written_is_parsed(void **state)
{
	const struct lm_snapshot_header written = good_layer();
	struct lm_snapshot_header header;

	(void)state;
	put_layer();
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH, &header), 0);
	assert_int_equal(header.features, written.features);
	assert_int_equal(header.memory_length, written.memory_length);
	assert_int_equal(header.file_length, written.file_length);
	assert_memory_equal(&header.identity, &written.identity, sizeof(header.identity));
	assert_memory_equal(&header.parent, &written.parent, sizeof(header.parent));
	for (size_t i = 0; i < LM_SECTION_TYPES; i++) {
		assert_int_equal(header.sections[i].present, written.sections[i].present);
		assert_int_equal(header.sections[i].offset, written.sections[i].offset);
		assert_int_equal(header.sections[i].length, written.sections[i].length);
		assert_int_equal(header.sections[i].checksum, written.sections[i].checksum);
	}
}

/* ---- the frame ----------------------------------------------------------- */

static void another_magic_is_refused(void **state)
{
	(void)state;
	bytes[7] = 'T';
	assert_refused(-EBADMSG, "does not begin with LZMSNAPS");
}

static void another_version_is_told_from_damage(void **state)
{
	(void)state;
	put_u32(VERSION, 2);
	assert_refused(-EPROTONOSUPPORT, "version 2");
}

static void no_bit_changes_without_the_checksum_telling(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		const unsigned char mask = (unsigned char)(1u << bit % 8);
		int error;

		bytes[bit / 8] ^= mask;
		error = lm_snapshot_parse_header(bytes, FILE_LENGTH, &header);
		assert_true(error == -EBADMSG ||
			    (error == -EPROTONOSUPPORT && bit / 8 >= 8 && bit / 8 < 12));
		bytes[bit / 8] ^= mask;
	}
	bytes[RESERVED - 1] ^= 1;
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH, &header), -EBADMSG);
	assert_says("the header's checksum");
}

/* ---- the fields ---------------------------------------------------------- */

static void another_header_length_is_refused(void **state)
{
	(void)state;
	put_u32(HEADER_LENGTH, 8192);
	assert_refused(-EBADMSG, "header length 8192");
}

static void another_page_size_is_refused(void **state)
{
	(void)state;
	put_u32(PAGE_SIZE, 0);
	assert_refused(-EBADMSG, "page size 0");
}

static void too_few_and_too_many_sections_are_refused(void **state)
{
	(void)state;
	put_u32(SECTION_COUNT, 2);
	assert_refused(-EBADMSG, "2 sections");
	put_u32(SECTION_COUNT, 65);
	assert_refused(-EBADMSG, "65 sections");
	put_u32(SECTION_COUNT, UINT32_MAX);
	assert_refused(-EBADMSG, "4294967295 sections");
}

static void memory_of_no_bytes_or_too_many_is_refused(void **state)
{
	(void)state;
	put_u64(MEMORY, 0);
	assert_refused(-EBADMSG, "memory of 0 bytes");
	put_u64(MEMORY, (UINT64_C(1) << 56) + 1);
	assert_refused(-EBADMSG, "memory of 72057594037927937 bytes");
}

static void the_longest_memory_is_accepted(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	put_u64(MEMORY, UINT64_C(1) << 56);
	assert_accepted(&header);
	assert_int_equal(header.memory_length, UINT64_C(1) << 56);
}

static void file_of_another_length_is_refused(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH + PAGE, &header), -EBADMSG);
	assert_says("a file of 163840 bytes, it has 167936");
	put_u64(FILE_SIZE, UINT64_MAX);
	assert_refused(-EBADMSG, "a file of");
}

static void file_length_that_is_not_in_pages_is_refused(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	put_u64(FILE_SIZE, FILE_LENGTH + 8);
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, FILE_LENGTH + 8, &header), -EBADMSG);
	assert_says("is no multiple of 4096");
}

static void unknown_feature_is_told_from_damage(void **state)
{
	(void)state;
	put_u64(FEATURES, 8);
	assert_refused(-EPROTONOSUPPORT, "features 0x8");
	put_u64(FEATURES, UINT64_C(1) << 63 | 4);
	assert_refused(-EPROTONOSUPPORT, "features 0x8000000000000000");
}

static void compression_that_is_not_built_in_is_named(void **state)
{
	static const struct {
		enum lazymem_chunk_kind kind;
		uint64_t feature;
		const char *says;
	} rows[] = {
		{LAZYMEM_CHUNK_LZ4, 1, "built without LZ4"},
		{LAZYMEM_CHUNK_ZSTD, 2, "built without zstd"},
	};
	struct lm_snapshot_header header;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		put_u64(FEATURES, rows[i].feature);
		if (lazymem_snapshot_supports(rows[i].kind))
			assert_accepted(&header);
		else
			assert_refused(-EPROTONOSUPPORT, rows[i].says);
	}
}

static void identity_of_zeros_is_refused(void **state)
{
	(void)state;
	memset(bytes + IDENTITY, 0, 32);
	assert_refused(-EBADMSG, "its identity is all zeros");
}

static void parent_without_identity_is_refused(void **state)
{
	(void)state;
	put_layer();
	memset(bytes + PARENT, 0, 32);
	assert_refused(-EBADMSG, "a parent whose identity is all zeros");
}

static void identity_of_a_parent_without_the_feature_is_refused(void **state)
{
	(void)state;
	bytes[PARENT + 31] = 1;
	assert_refused(-EBADMSG, "has not the feature");
}

static void reserved_bytes_before_the_sections_are_zero(void **state)
{
	(void)state;
	for (size_t i = RESERVED; i < SECTIONS; i += SECTIONS - 1 - RESERVED) {
		bytes[i] = 1;
		assert_refused(-EBADMSG, "before the sections");
		bytes[i] = 0;
	}
}

static void reserved_bytes_after_the_sections_are_zero(void **state)
{
	static const size_t places[] = {SECTION(4, 0), CHECKSUM - 1};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		bytes[places[i]] = 1;
		assert_refused(-EBADMSG, "after the sections");
		bytes[places[i]] = 0;
	}
}

/* ---- sections ------------------------------------------------------------ */

static void two_sections_of_one_type_are_refused(void **state)
{
	(void)state;
	add_section(4, LM_SECTION_CHUNKS, 0);
	assert_refused(-EBADMSG, "sections 1 and 4 are both of type 2");
	add_section(4, 77, 1);
	add_section(5, 77, 1);
	assert_refused(-EBADMSG, "sections 4 and 5 are both of type 77");
}

static void unknown_section_is_passed_over_where_it_says_so(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	add_section(4, 7, 1);
	assert_accepted(&header);
	add_section(4, 7, 0);
	assert_refused(-EPROTONOSUPPORT, "type 7 is not known");
	add_section(4, 0, 0);
	assert_refused(-EPROTONOSUPPORT, "type 0 is not known");
}

static void unknown_flags_of_a_section_are_refused(void **state)
{
	(void)state;
	put_u32(SECTION(2, FLAGS), 2);
	assert_refused(-EBADMSG, "section 2: flags 0x2");
}

static void reserved_bytes_of_a_section_are_zero(void **state)
{
	(void)state;
	put_u32(SECTION(3, LAST), 1);
	assert_refused(-EBADMSG, "section 3: its reserved bytes");
}

static void section_at_no_multiple_of_eight_is_refused(void **state)
{
	(void)state;
	put_u64(SECTION(1, OFFSET), 0x9014);
	assert_refused(-EBADMSG, "section 1: offset 36884 is no multiple of 8");
}

static void section_in_the_header_is_refused(void **state)
{
	(void)state;
	put_u64(SECTION(1, OFFSET), 4088);
	assert_refused(-EBADMSG, "section 1: offset 4088 lies in the header");
}

static void section_past_the_end_of_the_file_is_refused(void **state)
{
	(void)state;
	put_u64(SECTION(0, OFFSET), FILE_LENGTH - 8);
	assert_refused(-EBADMSG, "section 0: 16 bytes at 163832 go past the end");
	put_u64(SECTION(0, OFFSET), UINT64_MAX - 7);
	assert_refused(-EBADMSG, "section 0");
}

static void unknown_section_past_the_end_of_the_file_is_refused(void **state)
{
	(void)state;
	add_section(4, 99, 1);
	put_u64(SECTION(4, LENGTH), UINT64_MAX);
	assert_refused(-EBADMSG, "section 4");
}

static void section_that_must_be_there_is_missed(void **state)
{
	static const char *const names[] = {"regions", "chunks", "checksums"};
	char says[64];

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		put_u32(SECTION(i, TYPE), 50 + i);
		put_u32(SECTION(i, FLAGS), 1);
		snprintf(says, sizeof(says), "section %s is not there", names[i]);
		assert_refused(-EBADMSG, says);
		put_u32(SECTION(i, TYPE), 1 + i);
		put_u32(SECTION(i, FLAGS), 0);
	}
}

static void parent_without_a_path_is_refused(void **state)
{
	(void)state;
	put_layer();
	put_u32(SECTION(3, TYPE), 50); /* sections are in the order of their types */
	put_u32(SECTION(3, FLAGS), 1);
	assert_refused(-EBADMSG, "no section says where");
}

static void path_without_a_parent_is_refused(void **state)
{
	(void)state;
	add_section(4, LM_SECTION_PARENT, 0);
	assert_refused(-EBADMSG, "it says where its parent is, and has none");
}

/* ---- lengths of sections ------------------------------------------------- */

static void assert_length_refused(size_t index, uint64_t length, const char *says)
{
	const uint64_t before = lm_get_u64(bytes + SECTION(index, LENGTH));

	put_u64(SECTION(index, LENGTH), length);
	assert_refused(-EBADMSG, says);
	put_u64(SECTION(index, LENGTH), before);
}

static void section_that_is_not_whole_entries_is_refused(void **state)
{
	(void)state;
	assert_length_refused(0, 24, "section regions: its 24 bytes are no multiple of 16");
	assert_length_refused(1, 33, "section chunks: its 33 bytes are no multiple of 32");
	assert_length_refused(2, 6, "section checksums: its 6 bytes are no multiple of 4");
	assert_length_refused(3, 281, "section blobs: its 281 bytes are no multiple of 280");
}

static void section_without_entries_is_refused(void **state)
{
	(void)state;
	assert_length_refused(0, 0, "section regions: 0 entries");
	assert_length_refused(1, 0, "section chunks: 0 entries");
	put_layer();
	assert_length_refused(3, 0, "section parent path: 0 entries");
}

static void checksums_and_blobs_may_be_none(void **state)
{
	struct lm_snapshot_header header;

	(void)state;
	put_u64(SECTION(2, LENGTH), 0);
	put_u64(SECTION(3, LENGTH), 0);
	assert_accepted(&header);
}

static void more_chunks_or_checksums_than_pages_are_refused(void **state)
{
	(void)state;
	assert_length_refused(1, 11 * 32, "section chunks: 11 entries, not 1 to 10");
	assert_length_refused(2, 11 * 4, "section checksums: 11 entries, not 0 to 10");
}

static void parent_path_that_is_too_long_is_refused(void **state)
{
	(void)state;
	put_layer();
	assert_length_refused(3, 4096, "section parent path: 4096 entries, not 1 to 4095");
}

/* A file that is long enough for one region or blob too many. */
static void too_many_regions_or_blobs_are_refused(void **state)
{
	const uint64_t length = 8192 * PAGE;
	struct lm_snapshot_header header;

	(void)state;
	put_u64(FILE_SIZE, length);
	put_u64(SECTION(0, LENGTH), 65537 * 16);
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, length, &header), -EBADMSG);
	assert_says("section regions: 65537 entries, not 1 to 65536");
	put_u64(SECTION(0, LENGTH), 65536 * 16);
	put_u64(SECTION(3, LENGTH), 65537 * 280);
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, length, &header), -EBADMSG);
	assert_says("section blobs: 65537 entries, not 0 to 65536");
	put_u64(SECTION(3, LENGTH), 65536 * 280);
	seal();
	assert_int_equal(lm_snapshot_parse_header(bytes, length, &header), 0);
}

#define with_header(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_header(header_is_laid_out_as_the_manual_says),
		with_header(what_was_written_is_parsed),
		with_header(another_magic_is_refused),
		with_header(another_version_is_told_from_damage),
		with_header(no_bit_changes_without_the_checksum_telling),
		with_header(another_header_length_is_refused),
		with_header(another_page_size_is_refused),
		with_header(too_few_and_too_many_sections_are_refused),
		with_header(memory_of_no_bytes_or_too_many_is_refused),
		with_header(the_longest_memory_is_accepted),
		with_header(file_of_another_length_is_refused),
		with_header(file_length_that_is_not_in_pages_is_refused),
		with_header(unknown_feature_is_told_from_damage),
		with_header(compression_that_is_not_built_in_is_named),
		with_header(identity_of_zeros_is_refused),
		with_header(parent_without_identity_is_refused),
		with_header(identity_of_a_parent_without_the_feature_is_refused),
		with_header(reserved_bytes_before_the_sections_are_zero),
		with_header(reserved_bytes_after_the_sections_are_zero),
		with_header(two_sections_of_one_type_are_refused),
		with_header(unknown_section_is_passed_over_where_it_says_so),
		with_header(unknown_flags_of_a_section_are_refused),
		with_header(reserved_bytes_of_a_section_are_zero),
		with_header(section_at_no_multiple_of_eight_is_refused),
		with_header(section_in_the_header_is_refused),
		with_header(section_past_the_end_of_the_file_is_refused),
		with_header(unknown_section_past_the_end_of_the_file_is_refused),
		with_header(section_that_must_be_there_is_missed),
		with_header(parent_without_a_path_is_refused),
		with_header(path_without_a_parent_is_refused),
		with_header(section_that_is_not_whole_entries_is_refused),
		with_header(section_without_entries_is_refused),
		with_header(checksums_and_blobs_may_be_none),
		with_header(more_chunks_or_checksums_than_pages_are_refused),
		with_header(parent_path_that_is_too_long_is_refused),
		with_header(too_many_regions_or_blobs_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
