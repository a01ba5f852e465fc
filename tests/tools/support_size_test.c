/* SPDX-License-Identifier: MIT */
#include "size.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void assert_size(const char *text, uint64_t expected)
{
	uint64_t size = 0;

	assert_int_equal(size_parse(text, &size), 0);
	assert_int_equal(size, expected);
}

static void assert_refused(const char *text, int error)
{
	uint64_t size = 77;

	assert_int_equal(size_parse(text, &size), error);
	assert_int_equal(size, 77);
}

static void test_decimal_and_hexadecimal(void **state)
{
	(void)state;
	assert_size("0", 0);
	assert_size("4096", 4096);
	assert_size("010", 10);
	assert_size("0x1000", 4096);
	assert_size("0XfF", 255);
	assert_size("18446744073709551615", UINT64_MAX);
	assert_size("0xffffffffffffffff", UINT64_MAX);
}

static void test_suffixes_are_powers_of_1024(void **state)
{
	(void)state;
	assert_size("3K", 3072);
	assert_size("2M", 2097152);
	assert_size("1G", 1073741824);
	assert_size("0x10M", 16777216);
	assert_size("17179869183G", 18446744072635809792u);
}

static void test_what_is_no_size_is_refused(void **state)
{
	static const char *const texts[] = {"",    " 1", "-1",  "+1",  "K",  "1KK", "1T",
					    "1.5", "0x", "0xg", "x10", "1 ", "1k"};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		assert_refused(texts[i], -EINVAL);
}

static void test_what_does_not_fit_is_refused(void **state)
{
	(void)state;
	assert_refused("18446744073709551616", -ERANGE);
	assert_refused("0x10000000000000000", -ERANGE);
	assert_refused("17179869184G", -ERANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decimal_and_hexadecimal),
		cmocka_unit_test(test_suffixes_are_powers_of_1024),
		cmocka_unit_test(test_what_is_no_size_is_refused),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
