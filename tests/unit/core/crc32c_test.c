/* SPDX-License-Identifier: MIT */
#include "core/crc32c.h"

#include "model.h"

static void known_answers_are_met(void **state)
{
	unsigned char bytes[32];

	(void)state;
	/* the vectors of RFC 3720, appendix B.4 */
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(lm_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(lm_crc32c(0, bytes, 32), 0x62a8ab43);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (unsigned char)i;
	assert_int_equal(lm_crc32c(0, bytes, 32), 0x46dd794e);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (unsigned char)(31 - i);
	assert_int_equal(lm_crc32c(0, bytes, 32), 0x113fdb5c);
	assert_int_equal(lm_crc32c(0, "123456789", 9), 0xe3069283);
}

static void nothing_has_the_checksum_zero(void **state)
{
	(void)state;
	assert_int_equal(lm_crc32c(0, "", 0), 0);
}

static void checksum_can_be_continued(void **state)
{
	(void)state;
	assert_int_equal(lm_crc32c(lm_crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}

/* One byte, bit by bit, from the polynomial. */
static uint32_t divide(uint8_t byte)
{
	uint32_t rest = ~UINT32_C(0) ^ byte;

	for (int bit = 0; bit < 8; bit++)
		rest = rest & 1 ? rest >> 1 ^ 0x82f63b78 : rest >> 1;
	return ~rest;
}

static void every_entry_of_the_table_is_right(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 256; i++) {
		const uint8_t byte = (uint8_t)i;

		assert_int_equal(lm_crc32c(0, &byte, 1), divide(byte));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_answers_are_met),
		cmocka_unit_test(nothing_has_the_checksum_zero),
		cmocka_unit_test(checksum_can_be_continued),
		cmocka_unit_test(every_entry_of_the_table_is_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
