/* SPDX-License-Identifier: MIT */
#include "core/little_endian.h"

#include "model.h"

static void numbers_are_written_lowest_byte_first_at_any_alignment(void **state)
{
	static const unsigned char expected[] = {0xff, 0x04, 0x03, 0x02, 0x01, 0x0c, 0x0b,
						 0x0a, 0x09, 0x08, 0x07, 0x06, 0x05, 0xff};
	unsigned char bytes[sizeof(expected)];

	(void)state;
	memset(bytes, 0xff, sizeof(bytes));
	lm_put_u32(bytes + 1, 0x01020304);
	lm_put_u64(bytes + 5, UINT64_C(0x05060708090a0b0c));
	assert_memory_equal(bytes, expected, sizeof(expected));
}

static void numbers_are_read_as_they_were_written(void **state)
{
	static const unsigned char bytes[] = {0,    0x04, 0x03, 0x02, 0xf1, 0x0c, 0x0b,
					      0x0a, 0x09, 0x08, 0x07, 0x06, 0xf5};

	(void)state;
	assert_true(lm_get_u32(bytes + 1) == 0xf1020304);
	assert_true(lm_get_u64(bytes + 5) == UINT64_C(0xf5060708090a0b0c));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_lowest_byte_first_at_any_alignment),
		cmocka_unit_test(numbers_are_read_as_they_were_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
