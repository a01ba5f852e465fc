/* SPDX-License-Identifier: MIT
 *
 * The workloads of W7, with recordings that are made here in place of those of
 * real guests.
 */
#include "guest_traces.h"
#include "guests.h"
#include "workload.h"

#include <lazymem/trace.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_BYTES_MAX 256u
#define GUEST_PAGES 64u

static unsigned char replayed_bytes[FILE_BYTES_MAX];
static unsigned char touched_bytes[FILE_BYTES_MAX];

static struct guest_recording recording = {
	.name = "guest",
	.memory = GUEST_PAGES * PAGE_BYTES,
	.replayed = {"guest-1", replayed_bytes, NULL},
	.touched = {"guest-2", touched_bytes, NULL},
};

const struct guest_recording *guest_recording(size_t index)
{
	return index == 0 ? &recording : NULL;
}

/* In pages. */
struct page_range {
	uint64_t start;
	uint64_t count;
};

/* The bytes of the file at `path`; where they end. */
static const unsigned char *read_file(const char *path, unsigned char *bytes)
{
	FILE *file = fopen(path, "re");
	size_t length;

	assert_non_null(file);
	length = fread(bytes, 1, FILE_BYTES_MAX, file);
	assert_in_range(length, 1, FILE_BYTES_MAX - 1);
	fclose(file);
	return bytes + length;
}

static const unsigned char *make_trace(const struct page_range *ranges, size_t count,
				       unsigned char *bytes)
{
	char path[] = "/tmp/guests-test.XXXXXX";
	int fd = mkstemp(path);
	struct lazymem_trace *trace;
	const unsigned char *end;

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(lazymem_trace_create(PAGE_BYTES, &trace), 0);
	for (size_t i = 0; i < count; i++) {
		struct lazymem_guest_range range = {{ranges[i].start * PAGE_BYTES},
						    ranges[i].count * PAGE_BYTES};

		assert_int_equal(lazymem_trace_append(trace, range), 0);
	}
	assert_int_equal(lazymem_trace_save(trace, path), 0);
	lazymem_trace_destroy(trace);
	end = read_file(path, bytes);
	unlink(path);
	return end;
}

/* Replayed 40 41 42 7 3 43; touched 7 41 42 43 50 40: 3 is not touched, 50 was
 * not recorded, and the order is another one. */
static int set_up(void **state)
{
	static const struct page_range replayed[] = {{40, 3}, {7, 1}, {3, 1}, {41, 3}};
	static const struct page_range touched[] = {{7, 1}, {41, 3}, {50, 1}, {40, 2}};

	(void)state;
	recording.replayed.end = make_trace(replayed, 4, replayed_bytes);
	recording.touched.end = make_trace(touched, 4, touched_bytes);
	return 0;
}

static void one_trace_is_touched_in_its_order(void **state)
{
	static const uint64_t pages[] = {7, 41, 42, 43, 50, 40};
	struct workload workload;

	(void)state;
	assert_int_equal(workload_create("guest", 0, &workload), 0);
	assert_int_equal(workload.memory, GUEST_PAGES * PAGE_BYTES);
	assert_int_equal(workload.touch_count, 6);
	for (size_t i = 0; i < 6; i++) {
		uint64_t offset = pages[i] * PAGE_BYTES;

		assert_int_equal(workload.touches[i].offset, offset);
		assert_int_equal(workload.touches[i].expected,
				 pattern_first_word(PATTERN_DATA, offset));
	}
	workload_destroy(&workload);
}

static void the_other_one_is_the_recorded_set(void **state)
{
	static const uint64_t pages[] = {40, 41, 42, 7, 3, 43};
	struct workload workload;

	(void)state;
	assert_int_equal(workload_create("guest", 0, &workload), 0);
	assert_int_equal(workload.recorded_count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(workload.recorded[i], pages[i] * PAGE_BYTES);
	workload_destroy(&workload);
}

static void touches_outside_of_the_recorded_set_are_told_apart(void **state)
{
	struct workload workload;

	(void)state;
	assert_int_equal(workload_create("guest", 0, &workload), 0);
	for (size_t i = 0; i < workload.touch_count; i++)
		assert_int_equal(workload.touches[i].recorded,
				 workload.touches[i].offset != 50 * PAGE_BYTES);
	assert_int_equal(workload_recorded_touches(&workload), 5);
	workload_destroy(&workload);
}

static void memory_may_be_larger_and_not_too_small(void **state)
{
	struct workload workload;

	(void)state;
	assert_int_equal(workload_create("guest", 51 * PAGE_BYTES, &workload), 0);
	assert_int_equal(workload.memory, 51 * PAGE_BYTES);
	workload_destroy(&workload);
	assert_int_equal(workload_create("guest", 50 * PAGE_BYTES, &workload), -1);
}

static void a_damaged_recording_is_refused(void **state)
{
	struct workload workload;

	(void)state;
	touched_bytes[64] ^= 1;
	assert_int_equal(workload_create("guest", 0, &workload), -1);
}

static void the_group_names_every_guest(void **state)
{
	(void)state;
	assert_true(workload_known("guest"));
	assert_string_equal(workload_member("guests", 0), "guest");
	assert_null(workload_member("guests", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_trace_is_touched_in_its_order, set_up),
		cmocka_unit_test_setup(the_other_one_is_the_recorded_set, set_up),
		cmocka_unit_test_setup(touches_outside_of_the_recorded_set_are_told_apart, set_up),
		cmocka_unit_test_setup(memory_may_be_larger_and_not_too_small, set_up),
		cmocka_unit_test_setup(a_damaged_recording_is_refused, set_up),
		cmocka_unit_test_setup(the_group_names_every_guest, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
