/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void times_have_three_digits(void **state)
{
	(void)state;
	assert_string_equal(format_ns(0).text, "0.00 ns");
	assert_string_equal(format_ns(9.996).text, "10.0 ns");
	assert_string_equal(format_ns(999).text, "999 ns");
	assert_string_equal(format_ns(999.6).text, "1.00 \xc2\xb5s");
	assert_string_equal(format_ns(8314).text, "8.31 \xc2\xb5s");
	assert_string_equal(format_ns(45.678e6).text, "45.7 ms");
	assert_string_equal(format_ns(123.4e9).text, "123 s");
}

static void bytes_and_counts_have_units(void **state)
{
	(void)state;
	assert_string_equal(format_bytes(0).text, "0 B");
	assert_string_equal(format_bytes(4096).text, "4.00 KiB");
	assert_string_equal(format_bytes(256.0 * 1024 * 1024).text, "256 MiB");
	assert_string_equal(format_bytes(1000.0 * 1024 * 1024).text, "0.98 GiB");
	assert_string_equal(format_count(65536).text, "65536");
	assert_string_equal(format_count(123456).text, "123 k");
	assert_string_equal(format_count(3020000).text, "3.02 M");
}

static void ratios_need_both_sides(void **state)
{
	(void)state;
	assert_string_equal(format_ratio(3, 2).text, "1.50");
	assert_string_equal(format_ratio(1, 250).text, "0.004");
	assert_string_equal(format_ratio(1, 0).text, "-");
	assert_string_equal(format_ratio(0, 1).text, "-");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_have_three_digits),
		cmocka_unit_test(bytes_and_counts_have_units),
		cmocka_unit_test(ratios_need_both_sides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
