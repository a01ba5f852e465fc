/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "control_words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_words(const char *text, const char *const *expected, size_t expected_count)
{
	char line[CONTROL_LINE_MAX];
	char *words[CONTROL_WORDS_MAX];
	size_t count;

	strcpy(line, text);
	assert_int_equal(control_split(line, words, &count), 0);
	assert_int_equal(count, expected_count);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(words[i], expected[i]);
}

static void words_are_separated_by_any_number_of_spaces(void **state)
{
	(void)state;
	expect_words("status", (const char *const[]){"status"}, 1);
	expect_words("  discard  0   2M ", (const char *const[]){"discard", "0", "2M"}, 3);
}

static void a_backslash_keeps_a_space_in_its_word(void **state)
{
	(void)state;
	expect_words("a\\ b c\\\\d", (const char *const[]){"a b", "c\\d"}, 2);
	expect_words("end\\", (const char *const[]){"end\\"}, 1);
}

static void an_empty_line_is_no_command(void **state)
{
	char line[] = "   ";
	char *words[CONTROL_WORDS_MAX];
	size_t count;

	(void)state;
	assert_int_equal(control_split(line, words, &count), -1);
}

static void one_word_too_many_is_refused(void **state)
{
	char line[2 * CONTROL_WORDS_MAX + 3];
	char *words[CONTROL_WORDS_MAX];
	size_t count;

	(void)state;
	for (size_t i = 0; i <= CONTROL_WORDS_MAX; i++)
		memcpy(line + 2 * i, "a ", 3);
	assert_int_equal(control_split(line, words, &count), -1);
	line[2 * CONTROL_WORDS_MAX] = '\0';
	for (size_t i = 0; i < CONTROL_WORDS_MAX; i++)
		memcpy(line + 2 * i, "a ", 3);
	assert_int_equal(control_split(line, words, &count), 0);
	assert_int_equal(count, CONTROL_WORDS_MAX);
}

static void what_is_joined_is_split_into_the_same(void **state)
{
	char *words[] = {(char *)"snapshot", (char *)"/a b/\\ c\\", (char *)" "};
	char *found[CONTROL_WORDS_MAX];
	char line[64];
	size_t count;
	const int length = control_join(words, 3, line, sizeof(line));

	(void)state;
	assert_true(length > 0);
	assert_int_equal(line[length - 1], '\n');
	line[length - 1] = '\0';
	assert_int_equal(control_split(line, found, &count), 0);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_string_equal(found[i], words[i]);
}

static void a_line_never_leaves_its_buffer(void **state)
{
	char word[] = "\\\\\\\\\\\\\\\\";
	char *words[] = {word, word};
	char line[40];

	(void)state;
	for (size_t size = 1; size < sizeof(line) - 1; size++) {
		int length;

		memset(line, 'x', sizeof(line));
		length = control_join(words, 2, line, size);
		assert_true(length <= (int)size);
		for (size_t i = size; i < sizeof(line); i++)
			assert_int_equal(line[i], 'x');
	}
}

static void a_word_of_several_lines_is_refused(void **state)
{
	char *words[] = {(char *)"snapshot", (char *)"a\nquit"};
	char *empty[] = {(char *)"snapshot", (char *)""};
	char line[64];

	(void)state;
	assert_int_equal(control_join(words, 2, line, sizeof(line)), -1);
	assert_int_equal(control_join(empty, 2, line, sizeof(line)), -1);
}

/* What control_read_line makes of these bytes, and then the end of the connection. */
static int read_line(const char *bytes, size_t length, char *line, size_t size)
{
	int pair[2];
	int result;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(write(pair[0], bytes, length), length);
	close(pair[0]);
	result = control_read_line(pair[1], line, size);
	close(pair[1]);
	return result;
}

static void a_line_is_read_up_to_its_newline(void **state)
{
	char line[8];

	(void)state;
	assert_int_equal(read_line("status\nmore", 11, line, sizeof(line)), 6);
	assert_string_equal(line, "status");
	assert_int_equal(read_line("quit\r\n", 6, line, sizeof(line)), 4);
	assert_string_equal(line, "quit");
	assert_int_equal(read_line("\n", 1, line, sizeof(line)), 0);
}

static void what_is_no_line_is_told_apart(void **state)
{
	char line[8];

	(void)state;
	assert_int_equal(read_line("12345678", 8, line, sizeof(line)), -EMSGSIZE);
	assert_int_equal(read_line("1234567\n", 8, line, sizeof(line)), 7);
	assert_int_equal(read_line("1234", 4, line, sizeof(line)), -ECONNRESET);
	assert_int_equal(read_line("a\0b\n", 4, line, sizeof(line)), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_separated_by_any_number_of_spaces),
		cmocka_unit_test(a_backslash_keeps_a_space_in_its_word),
		cmocka_unit_test(an_empty_line_is_no_command),
		cmocka_unit_test(one_word_too_many_is_refused),
		cmocka_unit_test(what_is_joined_is_split_into_the_same),
		cmocka_unit_test(a_line_never_leaves_its_buffer),
		cmocka_unit_test(a_word_of_several_lines_is_refused),
		cmocka_unit_test(a_line_is_read_up_to_its_newline),
		cmocka_unit_test(what_is_no_line_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
