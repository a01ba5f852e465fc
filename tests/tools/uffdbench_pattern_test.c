/* SPDX-License-Identifier: MIT */
#include "pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGES (20u * 4 * 16 * 50) /* whole blocks of every layout */

static void assert_shares(enum pattern_layout layout, unsigned data, unsigned zero, unsigned hole)
{
	unsigned counts[3] = {0};

	for (uint64_t page = 0; page < PAGES; page++)
		counts[pattern_kind(layout, page * PAGE_BYTES)]++;
	assert_int_equal(counts[PATTERN_KIND_DATA] * 100 / PAGES, data);
	assert_int_equal(counts[PATTERN_KIND_ZERO] * 100 / PAGES, zero);
	assert_int_equal(counts[PATTERN_KIND_HOLE] * 100 / PAGES, hole);
}

static void layouts_have_their_shares(void **state)
{
	(void)state;
	assert_shares(PATTERN_DATA, 100, 0, 0);
	assert_shares(PATTERN_SPARSE, 10, 45, 45);
	assert_shares(PATTERN_MIXED, 50, 25, 25);
}

static void filled_pages_match_themselves_only(void **state)
{
	uint64_t words[PAGE_WORDS];

	(void)state;
	pattern_fill(PATTERN_DATA, 7 * PAGE_BYTES, words);
	assert_int_equal(words[0], pattern_first_word(PATTERN_DATA, 7 * PAGE_BYTES));
	assert_true(pattern_matches(PATTERN_DATA, 7 * PAGE_BYTES, words, false));
	assert_false(pattern_matches(PATTERN_DATA, 8 * PAGE_BYTES, words, false));
	assert_false(pattern_matches(PATTERN_DATA, 7 * PAGE_BYTES, words, true));
}

static void any_wrong_word_is_found(void **state)
{
	uint64_t words[PAGE_WORDS];

	(void)state;
	pattern_fill(PATTERN_DATA, 0, words);
	for (size_t i = 0; i < PAGE_WORDS; i++) {
		words[i] ^= 1;
		assert_false(pattern_matches(PATTERN_DATA, 0, words, false));
		words[i] ^= 1;
	}
}

static void written_pages_keep_the_rest(void **state)
{
	uint64_t words[PAGE_WORDS];

	(void)state;
	pattern_fill(PATTERN_DATA, PAGE_BYTES, words);
	words[0] = PATTERN_WRITTEN;
	assert_true(pattern_matches(PATTERN_DATA, PAGE_BYTES, words, true));
	words[PAGE_WORDS - 1] = 0;
	assert_false(pattern_matches(PATTERN_DATA, PAGE_BYTES, words, true));
}

static void false_zeros_show_in_the_first_word(void **state)
{
	(void)state;
	for (uint64_t page = 0; page < PAGES; page++)
		assert_int_not_equal(pattern_first_word(PATTERN_DATA, page * PAGE_BYTES), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_have_their_shares),
		cmocka_unit_test(filled_pages_match_themselves_only),
		cmocka_unit_test(any_wrong_word_is_found),
		cmocka_unit_test(written_pages_keep_the_rest),
		cmocka_unit_test(false_zeros_show_in_the_first_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
