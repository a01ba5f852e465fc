/* SPDX-License-Identifier: MIT
 *
 * crc32c_test.c - every implementation of the checksum against the vectors of
 * RFC 3720 and against a division of one bit at a time.
 */
#include "core/crc32c.h"

#include "model.h"

#define LONGEST ((size_t)20000)
#define POLYNOMIAL UINT32_C(0x82f63b78)

typedef uint32_t checksum_function(uint32_t before, const void *bytes, size_t length);

static checksum_function *const functions[] = {
	lm_crc32c,
	lm_crc32c_portable,
#ifdef LM_CRC32C_HAS_INSTRUCTIONS
	lm_crc32c_by_instructions,
#endif
};

static unsigned char bytes[LONGEST + 64];
static size_t function_count;

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int set_up(void **state)
{
	uint64_t random = 88172645463325252;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(next_random(&random) >> 32);
	function_count = sizeof(functions) / sizeof(functions[0]);
#ifdef LM_CRC32C_HAS_INSTRUCTIONS
	if (!lm_crc32c_has_instructions())
		function_count--;
#endif
	return 0;
}

/* One more byte, bit by bit. */
static uint32_t divide(uint32_t before, unsigned char byte)
{
	uint32_t rest = ~before ^ byte;

	for (int bit = 0; bit < 8; bit++)
		rest = (rest & 1) != 0 ? rest >> 1 ^ POLYNOMIAL : rest >> 1;
	return ~rest;
}

static void known_answers_are_met(void **state)
{
	unsigned char zeros[32], ones[32], up[32], down[32];
	/* RFC 3720, appendix B.4: a SCSI READ (10) command */
	const unsigned char command[48] = {
		[0] = 0x01,  [1] = 0xc0,  [16] = 0x14, [22] = 0x04,
		[27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
	};

	(void)state;
	memset(zeros, 0, sizeof(zeros));
	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < 32; i++) {
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	for (size_t i = 0; i < function_count; i++) {
		assert_int_equal(functions[i](0, zeros, 32), 0x8a9136aa);
		assert_int_equal(functions[i](0, ones, 32), 0x62a8ab43);
		assert_int_equal(functions[i](0, up, 32), 0x46dd794e);
		assert_int_equal(functions[i](0, down, 32), 0x113fdb5c);
		assert_int_equal(functions[i](0, command, 48), 0xd9963a56);
		assert_int_equal(functions[i](0, "123456789", 9), 0xe3069283);
	}
}

static void nothing_has_the_checksum_zero(void **state)
{
	(void)state;
	for (size_t i = 0; i < function_count; i++)
		assert_int_equal(functions[i](0, "", 0), 0);
}

static void nothing_more_changes_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < function_count; i++)
		assert_int_equal(functions[i](0x12345678, NULL, 0), 0x12345678);
}

static void every_single_byte_is_right(void **state)
{
	(void)state;
	for (unsigned value = 0; value < 256; value++) {
		const unsigned char byte = (unsigned char)value;

		for (size_t i = 0; i < function_count; i++)
			assert_int_equal(functions[i](0, &byte, 1), divide(0, byte));
	}
}

/* Every length, and every alignment of the first byte in turn. */
static void every_length_is_right_at_any_alignment(void **state)
{
	uint32_t expected[64] = {0};

	(void)state;
	for (size_t length = 0; length <= LONGEST; length++) {
		const size_t start = length % 64;

		for (size_t i = 0; i < function_count; i++)
			assert_int_equal(functions[i](0, bytes + start, length), expected[start]);
		for (size_t i = 0; i < 64; i++)
			expected[i] = divide(expected[i], bytes[i + length]);
	}
}

static void checksum_can_be_continued_at_any_split(void **state)
{
	const size_t length = 9000;
	const uint32_t whole = lm_crc32c(0, bytes, length);

	(void)state;
	for (size_t split = 0; split <= length; split++) {
		for (size_t i = 0; i < function_count; i++) {
			const uint32_t front = functions[i](0, bytes, split);

			assert_int_equal(functions[i](front, bytes + split, length - split), whole);
		}
	}
}

static void every_flipped_bit_of_a_page_is_seen(void **state)
{
	const uint32_t whole = lm_crc32c(0, bytes, PAGE);

	(void)state;
	for (size_t bit = 0; bit < PAGE * 8; bit++) {
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_int_not_equal(lm_crc32c(0, bytes, PAGE), whole);
		bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers_are_met),
		cmocka_unit_test(nothing_has_the_checksum_zero),
		cmocka_unit_test(nothing_more_changes_nothing),
		cmocka_unit_test(every_single_byte_is_right),
		cmocka_unit_test(every_length_is_right_at_any_alignment),
		cmocka_unit_test(checksum_can_be_continued_at_any_split),
		cmocka_unit_test(every_flipped_bit_of_a_page_is_seen),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
