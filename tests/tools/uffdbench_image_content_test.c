/* SPDX-License-Identifier: MIT */
#include "image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGES 8u

struct fixture {
	struct image image;
	FILE *file;
	uint64_t words[PAGES][PAGE_WORDS];
};

/* Page 2 is zeros, page 5 a hole, page 7 begins with zeros. */
static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->file = tmpfile();
	if (f->file == NULL)
		return -1;
	for (unsigned page = 0; page < PAGES; page++) {
		for (unsigned i = page == 7; i < PAGE_WORDS && page != 2 && page != 5; i++)
			f->words[page][i] = page * PAGE_WORDS + i + 1;
		if (page != 5 && pwrite(fileno(f->file), f->words[page], PAGE_BYTES,
					page * PAGE_BYTES) != PAGE_BYTES)
			return -1;
	}
	f->image = (struct image){
		.fd = fileno(f->file),
		.name = "test",
		.length = PAGES * PAGE_BYTES,
		.given = true,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	fclose(f->file);
	free(f);
	return 0;
}

static void a_page_of_the_file_matches(void **state)
{
	struct fixture *f = *state;

	for (unsigned page = 0; page < PAGES; page++)
		assert_true(image_matches(&f->image, page * PAGE_BYTES, f->words[page], false));
}

static void any_other_byte_is_a_mismatch(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < PAGE_BYTES; i++) {
		unsigned char *bytes = (unsigned char *)f->words[3];

		bytes[i] ^= 1;
		assert_false(image_matches(&f->image, 3 * PAGE_BYTES, f->words[3], false));
		bytes[i] ^= 1;
	}
}

static void only_the_first_word_may_be_written(void **state)
{
	struct fixture *f = *state;

	assert_false(image_matches(&f->image, 0, f->words[0], true));
	f->words[0][0] = PATTERN_WRITTEN;
	assert_true(image_matches(&f->image, 0, f->words[0], true));
	f->words[0][1]++;
	assert_false(image_matches(&f->image, 0, f->words[0], true));
}

static void a_page_beyond_the_end_is_a_mismatch(void **state)
{
	struct fixture *f = *state;
	uint64_t zeros[PAGE_WORDS] = {0};

	assert_false(image_matches(&f->image, PAGES * PAGE_BYTES, zeros, false));
}

static void append_all(struct workload *workload)
{
	assert_int_equal(workload_reserve(workload, PAGES, PAGES), 0);
	for (unsigned page = 0; page < PAGES; page++)
		workload_append(workload, page * PAGE_BYTES, page % 2 == 1);
}

static void zero_pages_are_left_out_of_a_workload(void **state)
{
	static const unsigned touched[] = {0, 1, 3, 4, 6, 7};
	static const unsigned recorded[] = {1, 3, 7};
	struct fixture *f = *state;
	struct workload workload = {.name = "test", .memory = PAGES * PAGE_BYTES};

	append_all(&workload);
	assert_int_equal(image_fit(&f->image, &workload), 0);
	assert_int_equal(workload.touch_count, 6);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(workload.touches[i].offset, touched[i] * PAGE_BYTES);
		assert_int_equal(workload.touches[i].expected, f->words[touched[i]][0]);
		assert_int_equal(workload.touches[i].recorded, touched[i] % 2);
	}
	assert_int_equal(workload.recorded_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(workload.recorded[i], recorded[i] * PAGE_BYTES);
	workload_destroy(&workload);
}

static void an_image_by_layout_keeps_its_workload(void **state)
{
	struct image image = {.fd = -1, .layout = PATTERN_MIXED};
	struct workload workload = {.name = "test", .memory = PAGES * PAGE_BYTES};

	(void)state;
	append_all(&workload);
	assert_int_equal(image_fit(&image, &workload), 0);
	assert_int_equal(workload.touch_count, PAGES);
	workload_destroy(&workload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_of_the_file_matches, set_up, tear_down),
		cmocka_unit_test_setup_teardown(any_other_byte_is_a_mismatch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(only_the_first_word_may_be_written, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_page_beyond_the_end_is_a_mismatch, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(zero_pages_are_left_out_of_a_workload, set_up,
						tear_down),
		cmocka_unit_test(an_image_by_layout_keeps_its_workload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
