/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_string(const char *value, const char *expected)
{
	char *text = NULL;
	size_t size;
	struct json json = {.file = open_memstream(&text, &size)};

	assert_non_null(json.file);
	json_string(&json, NULL, value);
	fclose(json.file);
	assert_string_equal(text, expected);
	free(text);
}

static void strings_are_escaped(void **state)
{
	(void)state;
	assert_string("", "\"\"");
	assert_string("a\"b\\c", "\"a\\\"b\\\\c\"");
	assert_string("a\nb\x1f", "\"a\\u000ab\\u001f\"");
	assert_string("\x7f", "\"\x7f\"");
}

static void strings_are_utf8(void **state)
{
	(void)state;
	assert_string("\xc2\xb5 \xe2\x82\xac \xf0\x9f\x98\x80",
		      "\"\xc2\xb5 \xe2\x82\xac \xf0\x9f\x98\x80\"");
	assert_string("a\xff"
		      "b",
		      "\"a\\ufffdb\"");
	assert_string("\xc3", "\"\\ufffd\"");
	assert_string("\xe2\x82", "\"\\ufffd\\ufffd\"");
	assert_string("\xc0\xaf", "\"\\ufffd\\ufffd\"");
	assert_string("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
}

static void members_are_separated(void **state)
{
	char *text = NULL;
	size_t size;
	struct json json = {.file = open_memstream(&text, &size)};

	(void)state;
	assert_non_null(json.file);
	json_open(&json, NULL, '{');
	json_open(&json, "empty", '[');
	json_close(&json, ']');
	json_number(&json, "number", UINT64_MAX);
	json_bool(&json, "bool", true);
	json_rate(&json, "rate", 1.25e6);
	json_rate(&json, "unknown", -1);
	json_ratio(&json, "ratio", 0.25);
	json_ratio(&json, "none", -1);
	json_close(&json, '}');
	fclose(json.file);
	assert_string_equal(text, "{\"empty\":[]\n,\"number\":18446744073709551615,\"bool\":true,"
				  "\"rate\":1250000.0,\"unknown\":null,"
				  "\"ratio\":0.250000,\"none\":null}\n");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(strings_are_utf8),
		cmocka_unit_test(members_are_separated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
