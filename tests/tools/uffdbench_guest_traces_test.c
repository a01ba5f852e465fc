/* SPDX-License-Identifier: MIT
 *
 * What the workloads of W7 make of their recordings, against a second reading
 * of the files' bytes.
 */
#include "guest_traces.h"
#include "guests.h"
#include "workload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER_BYTES 64u
#define RUN_BYTES 16u

/* The pages of a trace, each once, in the order of first touch. */
struct expected {
	uint64_t *offsets;
	size_t count;
	unsigned char *touched; /* by page */
};

static uint64_t number_at(const unsigned char *bytes)
{
	uint64_t number = 0;

	for (int i = 7; i >= 0; i--)
		number = number << 8 | bytes[i];
	return number;
}

static struct expected read_bytes(const struct guest_trace *trace, uint64_t memory)
{
	size_t pages = memory / PAGE_BYTES;
	struct expected expected = {calloc(pages, sizeof(uint64_t)), 0, calloc(pages, 1)};
	size_t runs = number_at(trace->start + 24);

	assert_non_null(expected.offsets);
	assert_non_null(expected.touched);
	assert_int_equal(trace->end - trace->start, HEADER_BYTES + runs * RUN_BYTES + 4);
	for (size_t i = 0; i < runs; i++) {
		const unsigned char *run = trace->start + HEADER_BYTES + i * RUN_BYTES;
		uint64_t start = number_at(run);
		uint64_t end = start + number_at(run + 8);

		assert_true(end <= memory);
		for (uint64_t at = start; at < end; at += PAGE_BYTES) {
			if (expected.touched[at / PAGE_BYTES]++ == 0)
				expected.offsets[expected.count++] = at;
		}
	}
	return expected;
}

static void release(struct expected *expected)
{
	free(expected->offsets);
	free(expected->touched);
}

static void assert_recorded(const struct workload *workload, const struct expected *replayed)
{
	assert_int_equal(workload->recorded_count, replayed->count);
	assert_memory_equal(workload->recorded, replayed->offsets,
			    replayed->count * sizeof(*replayed->offsets));
}

static void assert_touched(const struct workload *workload, const struct expected *touched,
			   const struct expected *replayed)
{
	assert_int_equal(workload->touch_count, touched->count);
	for (size_t i = 0; i < touched->count; i++) {
		const struct touch *touch = &workload->touches[i];

		assert_int_equal(touch->offset, touched->offsets[i]);
		assert_int_equal(touch->expected,
				 pattern_first_word(workload->layout, touch->offset));
		assert_int_equal(touch->recorded,
				 replayed->touched[touch->offset / PAGE_BYTES] != 0);
	}
}

static void one_recording_is_touched_and_the_other_one_replayed(void **state)
{
	const struct guest_recording *recording;

	(void)state;
	for (size_t i = 0; (recording = guest_recording(i)) != NULL; i++) {
		struct expected replayed = read_bytes(&recording->replayed, recording->memory);
		struct expected touched = read_bytes(&recording->touched, recording->memory);
		struct workload workload;

		assert_int_equal(workload_create(recording->name, 0, &workload), 0);
		assert_int_equal(workload.memory, recording->memory);
		assert_recorded(&workload, &replayed);
		assert_touched(&workload, &touched, &replayed);
		workload_destroy(&workload);
		release(&touched);
		release(&replayed);
	}
}

/* Two runs of one thing, neither one file twice nor two different things. */
static void pages_recur_and_not_all_of_them(void **state)
{
	const char *name;

	(void)state;
	for (size_t i = 0; (name = guests_name(i)) != NULL; i++) {
		struct workload workload;
		size_t common;

		assert_int_equal(workload_create(name, 0, &workload), 0);
		common = workload_recorded_touches(&workload);
		print_message("%s: %zu touched, %zu recorded, %zu both\n", name,
			      workload.touch_count, workload.recorded_count, common);
		assert_true(common > workload.touch_count / 4);
		assert_true(common < workload.touch_count || common < workload.recorded_count);
		workload_destroy(&workload);
	}
}

static void a_guest_that_is_too_small_is_refused(void **state)
{
	struct workload workload;

	(void)state;
	assert_int_equal(workload_create("boot", PAGE_BYTES, &workload), -1);
}

static void the_group_names_all_three(void **state)
{
	static const char *const names[] = {"boot", "http", "sort"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(workload_member("guests", i), names[i]);
		assert_true(workload_known(names[i]));
	}
	assert_null(workload_member("guests", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_recording_is_touched_and_the_other_one_replayed),
		cmocka_unit_test(pages_recur_and_not_all_of_them),
		cmocka_unit_test(a_guest_that_is_too_small_is_refused),
		cmocka_unit_test(the_group_names_all_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
