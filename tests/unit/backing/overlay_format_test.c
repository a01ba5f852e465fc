/* SPDX-License-Identifier: MIT
 *
 * overlay_format_test.c - the header and the map of an overlay as bytes: what is put
 * is parsed, and nothing else is.
 */
#include "backing/overlay_format.h"
#include "core/crc32c.h"
#include "core/little_endian.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BLOCK LM_OVERLAY_BLOCK
#define SECTOR_BLOCKS (LM_OVERLAY_SECTOR_WORDS * 32)

static struct lm_overlay_header header;
static unsigned char bytes[LM_OVERLAY_HEADER];

static int set_up(void **state)
{
	(void)state;
	header = (struct lm_overlay_header){.length = (SECTOR_BLOCKS + 5) * BLOCK - 1, .key = 77};
	memset(header.base.bytes, 0xab, sizeof(header.base.bytes));
	lm_overlay_put_header(&header, bytes);
	return 0;
}

static int parse(void)
{
	struct lm_overlay_header parsed = {.length = 1};
	const int error =
		lm_overlay_parse_header(bytes, lm_overlay_file_length(header.length), &parsed);

	if (error == 0)
		assert_memory_equal(&parsed, &header, sizeof(parsed));
	else
		assert_int_equal(parsed.length, 1);
	return error;
}

static void mend(void)
{
	lm_put_u32(bytes + 4092, lm_crc32c(0, bytes, 4092));
}

static void header_that_was_put_is_parsed(void **state)
{
	(void)state;
	assert_int_equal(parse(), 0);
}

static void no_bit_of_the_header_can_change(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] ^= 0x10;
		assert_true(parse() == -EBADMSG ||
			    (i >= 8 && i < 12 && parse() == -EPROTONOSUPPORT));
		bytes[i] ^= 0x10;
	}
	assert_int_equal(parse(), 0);
}

static void another_version_is_not_supported(void **state)
{
	(void)state;
	lm_put_u32(bytes + 8, 2);
	mend();
	assert_int_equal(parse(), -EPROTONOSUPPORT);
}

static void hostile_fields_with_a_right_checksum_are_refused(void **state)
{
	static const struct {
		size_t at;
		size_t size;
		uint64_t value;
	} fields[] = {
		{12, 4, 8192},  /* header length */
		{16, 4, 65536}, /* block size */
		{20, 4, 1},     /* reserved */
		{24, 8, 0},     /* length */
		{24, 8, 4096},  /* of another file length */
		{24, 8, UINT64_MAX}, {24, 8, (UINT64_C(1) << 56) + 1}, {72, 4, 1}, /* reserved */
		{4088, 4, 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		set_up(NULL);
		if (fields[i].size == 4)
			lm_put_u32(bytes + fields[i].at, (uint32_t)fields[i].value);
		else
			lm_put_u64(bytes + fields[i].at, fields[i].value);
		mend();
		assert_int_equal(parse(), -EBADMSG);
	}
	set_up(NULL);
	memset(bytes + 40, 0, 32); /* no identity of a base */
	mend();
	assert_int_equal(parse(), -EBADMSG);
}

static void file_of_another_length_is_refused(void **state)
{
	const uint64_t length = lm_overlay_file_length(header.length);
	struct lm_overlay_header parsed;

	(void)state;
	assert_int_equal(lm_overlay_parse_header(bytes, length - 1, &parsed), -EBADMSG);
	assert_int_equal(lm_overlay_parse_header(bytes, length + 1, &parsed), -EBADMSG);
	assert_int_equal(lm_overlay_parse_header(bytes, 0, &parsed), -EBADMSG);
}

/* ---- the map -------------------------------------------------------------- */

static unsigned char sector[LM_OVERLAY_SECTOR];
static uint64_t words[LM_OVERLAY_SECTOR_WORDS], parsed_words[LM_OVERLAY_SECTOR_WORDS];

static int parse_sector(uint64_t number)
{
	return lm_overlay_parse_sector(&header, number, sector, parsed_words);
}

static int put_and_parse(uint64_t number)
{
	lm_overlay_put_sector(&header, number, words, sector);
	return parse_sector(number);
}

static int set_up_sector(void **state)
{
	for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++)
		words[i] = UINT64_C(0x9864109864210146) & ~(UINT64_C(0x8888888888888888) >> i % 2);
	for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++)
		words[i] &= ~(words[i] >> 1 & UINT64_C(0x5555555555555555));
	return set_up(state);
}

static void sector_that_was_put_is_parsed(void **state)
{
	(void)state;
	assert_int_equal(put_and_parse(0), 0);
	assert_memory_equal(parsed_words, words, sizeof(words));
}

static void no_bit_of_a_sector_can_change(void **state)
{
	(void)state;
	assert_int_equal(put_and_parse(0), 0);
	for (size_t bit = 0; bit < 8 * sizeof(sector); bit++) {
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_equal(parse_sector(0), -EBADMSG);
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
}

static void sector_of_another_place_or_file_is_refused(void **state)
{
	(void)state;
	memset(words, 0, sizeof(words));
	assert_int_equal(put_and_parse(0), 0);
	assert_int_equal(parse_sector(1), -EBADMSG);
	header.key++;
	assert_int_equal(parse_sector(0), -EBADMSG);
}

static void sector_that_was_never_written_is_refused(void **state)
{
	(void)state;
	memset(sector, 0, sizeof(sector));
	assert_int_equal(parse_sector(0), -EBADMSG);
}

static void fourth_state_is_refused(void **state)
{
	(void)state;
	memset(words, 0, sizeof(words));
	words[62] = UINT64_C(3) << 62;
	assert_int_equal(put_and_parse(0), -EBADMSG);
}

/* Sector 1 has 5 blocks. */
static void states_behind_the_last_block_are_refused(void **state)
{
	(void)state;
	memset(words, 0, sizeof(words));
	words[0] = UINT64_C(1) << 8;
	assert_int_equal(put_and_parse(1), 0);
	words[0] = UINT64_C(1) << 10;
	assert_int_equal(put_and_parse(1), -EBADMSG);
	words[0] = 0;
	words[1] = 1;
	assert_int_equal(put_and_parse(1), -EBADMSG);
}

static void what_is_reserved_in_a_sector_is_zero(void **state)
{
	unsigned char seed[16];

	(void)state;
	memset(words, 0, sizeof(words));
	assert_int_equal(put_and_parse(0), 0);
	sector[505] = 1;
	lm_put_u64(seed, header.key);
	lm_put_u64(seed + 8, 0);
	lm_put_u32(sector + 508, lm_crc32c(lm_crc32c(0, seed, 16), sector, 508));
	assert_int_equal(parse_sector(0), -EBADMSG);
}

static void map_and_data_do_not_overlap(void **state)
{
	(void)state;
	for (uint64_t blocks = 1; blocks < 40 * SECTOR_BLOCKS; blocks += 1009) {
		const uint64_t length = blocks * BLOCK;
		const uint64_t start = lm_overlay_data_start(length);

		assert_int_equal(start % BLOCK, 0);
		assert_true(start >= 4096 + lm_overlay_sectors(length) * 512);
		assert_true(lm_overlay_sectors(length) * SECTOR_BLOCKS >= blocks);
		assert_int_equal(lm_overlay_file_length(length), start + length);
		assert_int_equal(lm_overlay_file_length(length - 1), start + length);
	}
	assert_true(lm_overlay_file_length(LM_OVERLAY_LONGEST) < UINT64_C(1) << 57);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(header_that_was_put_is_parsed, set_up),
		cmocka_unit_test_setup(no_bit_of_the_header_can_change, set_up),
		cmocka_unit_test_setup(another_version_is_not_supported, set_up),
		cmocka_unit_test_setup(hostile_fields_with_a_right_checksum_are_refused, set_up),
		cmocka_unit_test_setup(file_of_another_length_is_refused, set_up),
		cmocka_unit_test_setup(sector_that_was_put_is_parsed, set_up_sector),
		cmocka_unit_test_setup(no_bit_of_a_sector_can_change, set_up_sector),
		cmocka_unit_test_setup(sector_of_another_place_or_file_is_refused, set_up),
		cmocka_unit_test_setup(sector_that_was_never_written_is_refused, set_up),
		cmocka_unit_test_setup(fourth_state_is_refused, set_up),
		cmocka_unit_test_setup(states_behind_the_last_block_are_refused, set_up),
		cmocka_unit_test_setup(what_is_reserved_in_a_sector_is_zero, set_up),
		cmocka_unit_test_setup(map_and_data_do_not_overlap, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
