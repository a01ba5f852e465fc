/* SPDX-License-Identifier: MIT
 *
 * snapshot_format_test.c - the sections of a snapshot, one rule a test.
 */
#include "format_fixture.h"

#include <time.h>

static struct lm_snapshot_header header;

static int set_up(void **state)
{
	(void)state;
	header = good_layer();
	return 0;
}

/* ---- any section --------------------------------------------------------- */

static void checksum_of_a_section_is_compared(void **state)
{
	unsigned char bytes[24] = {1, 2, 3};

	(void)state;
	header.sections[LM_SECTION_CHECKSUMS].checksum = lm_crc32c(0, bytes, sizeof(bytes));
	assert_int_equal(lm_snapshot_check_section(&header, LM_SECTION_CHECKSUMS, bytes), 0);
	bytes[23] ^= 0x80;
	assert_int_equal(lm_snapshot_check_section(&header, LM_SECTION_CHECKSUMS, bytes), -EBADMSG);
	assert_says("section checksums: checksum");
}

/* ---- regions ------------------------------------------------------------- */

struct range {
	uint64_t base, length;
};

/* The regions' section with these entries, parsed. */
static int parse_regions(const struct range *ranges, size_t count,
			 struct lazymem_snapshot_region **ret_regions, size_t *ret_count)
{
	unsigned char bytes[8 * 16];

	for (size_t i = 0; i < count; i++) {
		lm_put_u64(bytes + 16 * i, ranges[i].base);
		lm_put_u64(bytes + 16 * i + 8, ranges[i].length);
	}
	header.sections[LM_SECTION_REGIONS].length = 16 * count;
	return lm_snapshot_parse_regions(&header, bytes, ret_regions, ret_count);
}

#define assert_regions_refused(says, ...)                                                          \
	do {                                                                                       \
		const struct range ranges_[] = {__VA_ARGS__};                                      \
		struct lazymem_snapshot_region *regions_ = NULL;                                   \
		size_t count_ = 0;                                                                 \
		assert_int_equal(parse_regions(ranges_, sizeof(ranges_) / sizeof(ranges_[0]),      \
					       &regions_, &count_),                                \
				 -EBADMSG);                                                        \
		assert_says(says);                                                                 \
		assert_null(regions_);                                                             \
	} while (0)

static void regions_keep_their_order_and_get_their_offsets(void **state)
{
	const struct range ranges[] = {{0x100000, 0x8000}, {0x1000, 0x2000}};
	struct lazymem_snapshot_region *regions = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(parse_regions(ranges, 2, &regions, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(regions[0].base.value, 0x100000);
	assert_int_equal(regions[0].length, 0x8000);
	assert_int_equal(regions[0].offset, 0);
	assert_int_equal(regions[1].base.value, 0x1000);
	assert_int_equal(regions[1].length, 0x2000);
	assert_int_equal(regions[1].offset, 0x8000);
	free(regions);
}

static void region_is_written_as_the_manual_says(void **state)
{
	const struct lazymem_snapshot_region region = {{0x1122334455667000}, 0x89000, 5};
	unsigned char bytes[16];

	(void)state;
	lm_snapshot_put_region(&region, bytes);
	assert_memory_equal(bytes, "\0\x70\x66\x55\x44\x33\x22\x11\0\x90\x08\0\0\0\0\0", 16);
}

static void region_that_is_not_in_whole_pages_is_refused(void **state)
{
	(void)state;
	assert_regions_refused("region 0 [0x800+0xa000] is not in whole pages", {0x800, 0xa000});
	assert_regions_refused("region 0 [0x1000+0x9064] is not in whole", {0x1000, MEMORY_LENGTH});
}

static void region_without_a_length_is_refused(void **state)
{
	(void)state;
	assert_regions_refused("region 1 [0x90000+0x0] is empty", {0, 0xa000}, {0x90000, 0});
}

static void region_may_end_at_the_last_address_and_not_past_it(void **state)
{
	const struct range last = {UINT64_MAX - 0x9fff, 0xa000};
	struct lazymem_snapshot_region *regions = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(parse_regions(&last, 1, &regions, &count), 0);
	free(regions);
	assert_regions_refused("past the end of the guest's address space",
			       {UINT64_MAX - 0x8fff, 0xa000});
}

static void regions_that_overlap_are_refused(void **state)
{
	(void)state;
	assert_regions_refused("region 1 [0x5000+0x4000] overlaps region 2 [0x2000+0x4000]",
			       {0x100000, 0x2000}, {0x5000, 0x4000}, {0x2000, 0x4000});
	assert_regions_refused("overlaps", {0x2000, 0x5000}, {0x2000, 0x5000});
}

/* 8192 times 2^51 pages are 2^64, which is nothing in 64 bits. */
static void regions_whose_sum_wraps_are_refused(void **state)
{
	static unsigned char bytes[8193 * 16];
	struct lazymem_snapshot_region *regions = NULL;
	size_t count = 0;

	(void)state;
	lm_put_u64(bytes + 8, lm_snapshot_pages(MEMORY_LENGTH) * PAGE);
	for (size_t i = 1; i < 8193; i++)
		lm_put_u64(bytes + 16 * i + 8, UINT64_C(1) << 63);
	header.sections[LM_SECTION_REGIONS].length = sizeof(bytes);
	assert_int_equal(lm_snapshot_parse_regions(&header, bytes, &regions, &count), -EBADMSG);
	assert_says("overlaps");
	assert_null(regions);
}

static void regions_that_touch_are_accepted(void **state)
{
	const struct range ranges[] = {{0x8000, 0x2000}, {0, 0x8000}};
	struct lazymem_snapshot_region *regions = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(parse_regions(ranges, 2, &regions, &count), 0);
	free(regions);
}

static void regions_of_another_length_than_the_memory_are_refused(void **state)
{
	(void)state;
	assert_regions_refused("9 pages long, the memory has 10", {0, 0x9000});
	assert_regions_refused("11 pages long", {0, 0xb000});
	assert_regions_refused("pages long", {0, 0x8000000000000000},
			       {0x8000000000000000, 0x8000000000000000});
}

/* ---- chunks -------------------------------------------------------------- */

static struct lm_chunk entries[16];
static size_t entry_count;

/* Ten pages: zero, raw, the parent's, raw. Six checksums. */
static int set_up_chunks(void **state)
{
	static const struct lm_chunk good[] = {
		{.page = 0, .count = 2, .kind = 0},
		{.page = 2, .count = 3, .kind = 2, .position = 0x2000, .checksum = 0},
		{.page = 5, .count = 2, .kind = 1},
		{.page = 7, .count = 3, .kind = 2, .position = 0x5000, .checksum = 3},
	};

	set_up(state);
	memcpy(entries, good, sizeof(good));
	entry_count = 4;
	return 0;
}

/* What is in `entries`, through the bytes of a file. */
static int parse(struct lm_chunk **ret_chunks, size_t *ret_count)
{
	static struct lm_chunk bytes[16]; /* aligned as the reader's are */

	for (size_t i = 0; i < entry_count; i++) {
		const uint8_t reserved = entries[i].reserved;

		lm_snapshot_put_chunk(&entries[i], &bytes[i]);
		((unsigned char *)&bytes[i])[13] = reserved;
		memcpy((unsigned char *)&bytes[i] + 14, &entries[i].layer, 2);
	}
	header.sections[LM_SECTION_CHUNKS].length = 32 * entry_count;
	return lm_snapshot_parse_chunks(&header, bytes, ret_chunks, ret_count);
}

static void assert_chunks_refused(const char *says)
{
	struct lm_chunk *chunks = NULL;
	size_t count = 0;

	assert_int_equal(parse(&chunks, &count), -EBADMSG);
	assert_says(says);
	assert_null(chunks);
}

static void assert_chunks_accepted(void)
{
	struct lm_chunk *chunks = NULL;
	size_t count = 0;

	assert_int_equal(parse(&chunks, &count), 0);
	assert_int_equal(count, entry_count);
	assert_memory_equal(chunks, entries, 32 * count);
}

/* Chunk 1 becomes one of this compression. */
static void compress_chunk(uint8_t kind, uint64_t feature)
{
	entries[1].kind = kind;
	entries[1].stored = 5000;
	entries[1].position = 0x1fff;
	header.features |= feature;
}

static void chunks_that_are_in_order_are_accepted(void **state)
{
	(void)state;
	assert_chunks_accepted();
	compress_chunk(LAZYMEM_CHUNK_LZ4, LM_FEATURE_LZ4);
	assert_chunks_accepted();
}

static void chunk_is_written_as_the_manual_says(void **state)
{
	const struct lm_chunk chunk = {.page = 0x0102030405060708,
				       .count = 0x11121314,
				       .kind = 4,
				       .layer = 9,
				       .position = 0x2122232425262728,
				       .stored = 0x31323334,
				       .checksum = 0x41424344};
	unsigned char bytes[32];

	(void)state;
	lm_snapshot_put_chunk(&chunk, bytes);
	assert_memory_equal(bytes,
			    "\x08\x07\x06\x05\x04\x03\x02\x01\x14\x13\x12\x11\x04\0\0\0"
			    "\x28\x27\x26\x25\x24\x23\x22\x21\x34\x33\x32\x31\x44\x43\x42\x41",
			    32);
}

static void chunks_begin_with_the_first_page(void **state)
{
	(void)state;
	entries[0].page = 1;
	entries[0].count = 1;
	assert_chunks_refused("chunk 0 (page 1): the one before it ends at page 0");
}

static void chunks_leave_no_gap_and_do_not_overlap(void **state)
{
	(void)state;
	entries[2].page = 6;
	assert_chunks_refused("chunk 2 (page 6): the one before it ends at page 5");
	entries[2].page = 4;
	assert_chunks_refused("chunk 2 (page 4): the one before it ends at page 5");
}

static void chunks_end_with_the_last_page(void **state)
{
	(void)state;
	entries[3].count = 2;
	assert_chunks_refused("the chunks end at page 9 of 10");
	entries[3].count = 4;
	assert_chunks_refused("chunk 3 (page 7): it goes past the end of the memory");
	entries[3].count = UINT32_MAX;
	assert_chunks_refused("past the end of the memory");
}

static void chunk_without_pages_is_refused(void **state)
{
	(void)state;
	entries[1].count = 0;
	assert_chunks_refused("chunk 1 (page 2): it has no pages");
}

static void unknown_kind_is_refused(void **state)
{
	(void)state;
	entries[0].kind = 5;
	assert_chunks_refused("chunk 0 (page 0): kind 5");
	entries[0].kind = 255;
	assert_chunks_refused("kind 255");
}

static void reserved_bytes_of_a_chunk_are_zero(void **state)
{
	(void)state;
	entries[0].reserved = 1;
	assert_chunks_refused("chunk 0 (page 0): its reserved bytes");
	entries[0].reserved = 0;
	entries[0].layer = 0x100;
	assert_chunks_refused("reserved");
}

static void chunk_of_which_nothing_is_stored_says_so(void **state)
{
	static const char says[] = "nothing of it is stored";

	(void)state;
	for (size_t i = 0; i < 3; i += 2) {
		entries[i].position = 4096;
		assert_chunks_refused(says);
		entries[i].position = 0;
		entries[i].stored = 1;
		assert_chunks_refused(says);
		entries[i].stored = 0;
		entries[i].checksum = 1;
		assert_chunks_refused(says);
		entries[i].checksum = 0;
	}
	assert_chunks_accepted();
}

static void chunk_of_a_parent_needs_one(void **state)
{
	(void)state;
	header = good_header();
	assert_chunks_refused("chunk 2 (page 5): it is left to a parent, and there is none");
}

static void raw_chunk_lies_at_a_page(void **state)
{
	(void)state;
	entries[1].position = 0x2001;
	assert_chunks_refused("chunk 1 (page 2): it is raw, and not stored at a page");
}

static void raw_chunk_has_no_compressed_length(void **state)
{
	(void)state;
	entries[1].stored = 3 * PAGE;
	assert_chunks_refused("it is raw, and has the length of a compressed one");
}

static void chunk_is_not_stored_in_the_header(void **state)
{
	(void)state;
	entries[1].position = 0;
	assert_chunks_refused("chunk 1 (page 2): it is stored in the header");
	compress_chunk(LAZYMEM_CHUNK_ZSTD, LM_FEATURE_ZSTD);
	entries[1].position = 4095;
	assert_chunks_refused("it is stored in the header");
	entries[1].position = 4096;
	assert_chunks_accepted();
}

static void chunk_is_not_stored_past_the_end_of_the_file(void **state)
{
	(void)state;
	entries[1].position = FILE_LENGTH - 2 * PAGE;
	assert_chunks_refused("chunk 1 (page 2): it is stored past the end");
	entries[1].position = UINT64_MAX - 4095;
	assert_chunks_refused("past the end of the file");
	entries[1].position = FILE_LENGTH - 3 * PAGE;
	assert_chunks_accepted();
	compress_chunk(LAZYMEM_CHUNK_LZ4, LM_FEATURE_LZ4);
	entries[1].position = FILE_LENGTH - 4999;
	assert_chunks_refused("past the end of the file");
	entries[1].position = FILE_LENGTH - 5000;
	assert_chunks_accepted();
}

static void checksums_of_a_chunk_are_there(void **state)
{
	(void)state;
	entries[3].checksum = 4;
	assert_chunks_refused("chunk 3 (page 7): its checksums are past the last one");
	entries[3].checksum = UINT32_MAX;
	assert_chunks_refused("past the last one");
}

static void compressed_chunk_has_at_most_64_pages(void **state)
{
	(void)state;
	header.memory_length = 66 * PAGE;
	header.sections[LM_SECTION_CHECKSUMS].length = 65 * 4;
	header.features |= LM_FEATURE_LZ4;
	entry_count = 2;
	entries[0] = (struct lm_chunk){.count = 1};
	entries[1] = (struct lm_chunk){.page = 1,
				       .count = 65,
				       .kind = LAZYMEM_CHUNK_LZ4,
				       .position = 0x1000,
				       .stored = 10};
	assert_chunks_refused("chunk 1 (page 1): it is compressed, and has more than 64 pages");
	entries[0].count = 2;
	entries[1].page = 2;
	entries[1].count = 64;
	header.sections[LM_SECTION_CHECKSUMS].length = 64 * 4;
	assert_chunks_accepted();
}

static void compressed_chunk_is_smaller_than_its_pages_and_not_empty(void **state)
{
	(void)state;
	compress_chunk(LAZYMEM_CHUNK_LZ4, LM_FEATURE_LZ4);
	entries[1].stored = 0;
	assert_chunks_refused("chunk 1 (page 2): it is compressed to nothing");
	entries[1].stored = 3 * PAGE;
	assert_chunks_refused("chunk 1 (page 2): it is compressed to no less than it was");
	entries[1].stored = 3 * PAGE - 1;
	assert_chunks_accepted();
}

static void features_say_which_compressions_there_are(void **state)
{
	(void)state;
	header.features |= LM_FEATURE_LZ4;
	assert_chunks_refused("LZ4 chunks");
	compress_chunk(LAZYMEM_CHUNK_ZSTD, 0);
	header.features = LM_FEATURE_PARENT;
	assert_chunks_refused("zstd chunks");
	header.features |= LM_FEATURE_ZSTD;
	assert_chunks_accepted();
	header.features |= LM_FEATURE_LZ4;
	assert_chunks_refused("LZ4 chunks");
}

static void checksums_are_no_more_than_pages_that_are_stored(void **state)
{
	(void)state;
	header.sections[LM_SECTION_CHECKSUMS].length = 7 * 4;
	assert_chunks_refused("7 checksums, more than the 6 pages that are stored");
}

static void chunks_may_share_what_is_stored(void **state)
{
	(void)state;
	entries[3].position = entries[1].position;
	entries[3].checksum = 0;
	header.sections[LM_SECTION_CHECKSUMS].length = 3 * 4;
	assert_chunks_accepted();
}

/* Of this thread: other programs must not count. */
static uint64_t processor_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The bound is far above what it takes (a few ms), and far below what anything
 * but one pass would. */
static void million_chunks_are_parsed_in_one_pass(void **state)
{
	const size_t count = 1 << 20;
	struct lm_chunk *bytes = calloc(count, sizeof(*bytes)), *chunks = NULL;
	size_t parsed = 0;
	uint64_t before;

	(void)state;
	assert_non_null(bytes);
	header.memory_length = count * PAGE;
	header.file_length = 2 * PAGE + count / 2 * PAGE;
	header.sections[LM_SECTION_CHUNKS].length = count * 32;
	header.sections[LM_SECTION_CHECKSUMS].length = count / 2 * 4;
	for (size_t i = 0; i < count; i++) {
		struct lm_chunk chunk = {.page = i, .count = 1};

		if (i % 2 != 0) {
			chunk.kind = LAZYMEM_CHUNK_RAW;
			chunk.position = PAGE + i / 2 * PAGE;
			chunk.checksum = (uint32_t)(i / 2);
		}
		lm_snapshot_put_chunk(&chunk, &bytes[i]);
	}
	before = processor_ns();
	assert_int_equal(lm_snapshot_parse_chunks(&header, bytes, &chunks, &parsed), 0);
	print_message("%zu chunks in %.1f ms\n", parsed, (double)(processor_ns() - before) / 1e6);
	assert_true(processor_ns() - before < 2000000000);
	assert_int_equal(parsed, count);
	free(bytes);
}

/* ---- checksums ----------------------------------------------------------- */

static void checksums_are_little_endian(void **state)
{
	_Alignas(4) unsigned char bytes[24] = {0x78, 0x56, 0x34, 0x12, 1};
	const uint32_t *checksums = lm_snapshot_parse_checksums(&header, bytes);

	(void)state;
	assert_int_equal(checksums[0], 0x12345678);
	assert_int_equal(checksums[1], 1);
}

/* ---- the parent's path --------------------------------------------------- */

static void path_of_the_parent_is_delivered(void **state)
{
	char *path = NULL;

	(void)state;
	assert_int_equal(lm_snapshot_parse_parent(&header, "../base.lzmX", &path), 0);
	assert_string_equal(path, "../base.lzm");
	free(path);
}

static void zero_in_the_path_of_the_parent_is_refused(void **state)
{
	char *path = NULL;

	(void)state;
	assert_int_equal(lm_snapshot_parse_parent(&header, "../base\0lzm", &path), -EBADMSG);
	assert_says("section parent path: one of its bytes is zero");
	assert_null(path);
}

/* ---- blobs --------------------------------------------------------------- */

static unsigned char directory[2 * 280];

static int set_up_blobs(void **state)
{
	const struct lm_snapshot_blob first = {0x2000, 77, 0xabcdef01, "state"};
	struct lm_snapshot_blob second = {FILE_LENGTH, 0, 0, ""};

	set_up(state);
	memset(second.name, 'n', 255);
	lm_snapshot_put_blob(&first, directory);
	lm_snapshot_put_blob(&second, directory + 280);
	return 0;
}

static void assert_blobs_refused(const char *says)
{
	struct lm_snapshot_blob *blobs = NULL;
	size_t count = 0;

	assert_int_equal(lm_snapshot_parse_blobs(&header, directory, &blobs, &count), -EBADMSG);
	assert_says(says);
	assert_null(blobs);
}

static void blobs_are_delivered(void **state)
{
	struct lm_snapshot_blob *blobs = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(lm_snapshot_parse_blobs(&header, directory, &blobs, &count), 0);
	assert_int_equal(count, 2);
	assert_int_equal(blobs[0].offset, 0x2000);
	assert_int_equal(blobs[0].length, 77);
	assert_int_equal(blobs[0].checksum, 0xabcdef01);
	assert_string_equal(blobs[0].name, "state");
	assert_int_equal(blobs[1].length, 0);
	assert_int_equal(strlen(blobs[1].name), 255);
	free(blobs);
}

static void blob_is_written_as_the_manual_says(void **state)
{
	(void)state;
	assert_memory_equal(directory,
			    "\0\x20\0\0\0\0\0\0\x4d\0\0\0\0\0\0\0"
			    "\x01\xef\xcd\xab\5\0\0\0state\0",
			    30);
}

static void no_blobs_are_no_mistake(void **state)
{
	struct lm_snapshot_blob *blobs = NULL;
	size_t count = 1;

	(void)state;
	header.sections[LM_SECTION_BLOBS].length = 0;
	assert_int_equal(lm_snapshot_parse_blobs(&header, directory, &blobs, &count), 0);
	assert_int_equal(count, 0);
	free(blobs);
}

static void blob_without_a_name_is_refused(void **state)
{
	(void)state;
	lm_put_u32(directory + 20, 0);
	assert_blobs_refused("blob 0: its name has 0 bytes");
}

static void name_that_is_too_long_is_refused(void **state)
{
	(void)state;
	directory[280 + 24 + 255] = 'n';
	lm_put_u32(directory + 280 + 20, 256);
	assert_blobs_refused("blob 1: its name has 256 bytes");
}

static void zero_in_a_name_is_refused(void **state)
{
	(void)state;
	directory[24 + 2] = 0;
	assert_blobs_refused("blob 0: a byte of its name is zero");
}

static void reserved_bytes_after_a_name_are_zero(void **state)
{
	(void)state;
	directory[279] = 1;
	assert_blobs_refused("blob 0: reserved bytes after its name");
}

static void blob_in_the_header_is_refused(void **state)
{
	(void)state;
	lm_put_u64(directory, 4095);
	assert_blobs_refused("blob state lies in the header");
}

static void blob_past_the_end_of_the_file_is_refused(void **state)
{
	(void)state;
	lm_put_u64(directory, FILE_LENGTH - 76);
	assert_blobs_refused("blob state goes past the end of the file");
	lm_put_u64(directory, 0x2000);
	lm_put_u64(directory + 8, UINT64_MAX);
	assert_blobs_refused("blob state goes past the end of the file");
}

static void two_blobs_of_one_name_are_refused(void **state)
{
	(void)state;
	memcpy(directory + 280, directory, 280);
	assert_blobs_refused("two blobs have the name state");
}

#define with(setup, test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(set_up, checksum_of_a_section_is_compared),
		with(set_up, regions_keep_their_order_and_get_their_offsets),
		with(set_up, region_is_written_as_the_manual_says),
		with(set_up, region_that_is_not_in_whole_pages_is_refused),
		with(set_up, region_without_a_length_is_refused),
		with(set_up, region_may_end_at_the_last_address_and_not_past_it),
		with(set_up, regions_that_overlap_are_refused),
		with(set_up, regions_whose_sum_wraps_are_refused),
		with(set_up, regions_that_touch_are_accepted),
		with(set_up, regions_of_another_length_than_the_memory_are_refused),
		with(set_up_chunks, chunks_that_are_in_order_are_accepted),
		with(set_up_chunks, chunk_is_written_as_the_manual_says),
		with(set_up_chunks, chunks_begin_with_the_first_page),
		with(set_up_chunks, chunks_leave_no_gap_and_do_not_overlap),
		with(set_up_chunks, chunks_end_with_the_last_page),
		with(set_up_chunks, chunk_without_pages_is_refused),
		with(set_up_chunks, unknown_kind_is_refused),
		with(set_up_chunks, reserved_bytes_of_a_chunk_are_zero),
		with(set_up_chunks, chunk_of_which_nothing_is_stored_says_so),
		with(set_up_chunks, chunk_of_a_parent_needs_one),
		with(set_up_chunks, raw_chunk_lies_at_a_page),
		with(set_up_chunks, raw_chunk_has_no_compressed_length),
		with(set_up_chunks, chunk_is_not_stored_in_the_header),
		with(set_up_chunks, chunk_is_not_stored_past_the_end_of_the_file),
		with(set_up_chunks, checksums_of_a_chunk_are_there),
		with(set_up_chunks, compressed_chunk_has_at_most_64_pages),
		with(set_up_chunks, compressed_chunk_is_smaller_than_its_pages_and_not_empty),
		with(set_up_chunks, features_say_which_compressions_there_are),
		with(set_up_chunks, checksums_are_no_more_than_pages_that_are_stored),
		with(set_up_chunks, chunks_may_share_what_is_stored),
		with(set_up_chunks, million_chunks_are_parsed_in_one_pass),
		with(set_up, checksums_are_little_endian),
		with(set_up, path_of_the_parent_is_delivered),
		with(set_up, zero_in_the_path_of_the_parent_is_refused),
		with(set_up_blobs, blobs_are_delivered),
		with(set_up_blobs, blob_is_written_as_the_manual_says),
		with(set_up_blobs, no_blobs_are_no_mistake),
		with(set_up_blobs, blob_without_a_name_is_refused),
		with(set_up_blobs, name_that_is_too_long_is_refused),
		with(set_up_blobs, zero_in_a_name_is_refused),
		with(set_up_blobs, reserved_bytes_after_a_name_are_zero),
		with(set_up_blobs, blob_in_the_header_is_refused),
		with(set_up_blobs, blob_past_the_end_of_the_file_is_refused),
		with(set_up_blobs, two_blobs_of_one_name_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
