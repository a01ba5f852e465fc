/* SPDX-License-Identifier: MIT */
#include "functions.h"
#include "workload.h"

#include <lazymem/trace.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (1024ull * 1024)

static struct workload create(const char *name, uint64_t memory)
{
	struct workload workload;

	assert_int_equal(workload_create(name, memory, &workload), 0);
	return workload;
}

/* Marks every touched page in a map of its own; each must be new. */
static unsigned char *map_touches(const struct workload *workload)
{
	unsigned char *map = calloc(workload->memory / PAGE_BYTES + 1, 1);

	assert_non_null(map);
	for (size_t i = 0; i < workload->touch_count; i++) {
		uint64_t offset = workload->touches[i].offset;

		assert_int_equal(offset % PAGE_BYTES, 0);
		assert_true(offset < workload->memory);
		assert_int_equal(workload->touches[i].expected,
				 pattern_first_word(workload->layout, offset));
		assert_int_equal(map[offset / PAGE_BYTES]++, 0);
	}
	return map;
}

static void assert_touches(const char *name, uint64_t memory, size_t count)
{
	struct workload workload = create(name, memory);

	assert_int_equal(workload.touch_count, count);
	assert_int_equal(workload.recorded_count, count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(workload.recorded[i], workload.touches[i].offset);
	free(map_touches(&workload));
	workload_destroy(&workload);
}

static void every_page_is_touched_once(void **state)
{
	(void)state;
	assert_touches("random", 0, 65536);
	assert_touches("sequential", 0, 65536);
	assert_touches("stride", 0, 65536);
	assert_touches("sparse", 0, 131072);
	assert_touches("post-restore", 0, 32768);
	assert_touches("mixed", 0, 65536);
	assert_touches("stride", 100 * PAGE_BYTES, 100);
	assert_touches("random", PAGE_BYTES, 1);
}

static size_t count_runs(const struct workload *workload)
{
	unsigned char *map = map_touches(workload);
	size_t runs = 0;

	for (size_t page = 0; page < workload->memory / PAGE_BYTES; page++)
		runs += map[page] != 0 && map[page + 1] == 0;
	free(map);
	return runs;
}

/* The published numbers; the mean length of runs within a tenth. */
static void assert_function(const char *name, size_t same, size_t unique, double mean_run)
{
	struct workload workload = create(name, 0);
	double mean = (double)(same + unique) / (double)count_runs(&workload);

	assert_int_equal(workload.memory, 256 * MIB);
	assert_int_equal(workload.touch_count, same + unique);
	assert_int_equal(workload.recorded_count, same);
	assert_true(mean > mean_run * 0.9 && mean < mean_run * 1.1);
	workload_destroy(&workload);
}

static void functions_have_the_published_shape(void **state)
{
	(void)state;
	assert_function("helloworld", 1965, 2, 1.9);
	assert_function("chameleon", 3276, 6, 2.3);
	assert_function("pyaes", 2081, 7, 1.9);
	assert_function("image_rotate", 6132, 1311, 3.4);
	assert_function("json_serdes", 4357, 1102, 3.2);
	assert_function("lr_serving", 2673, 15, 1.6);
	assert_function("cnn_serving", 7117, 59, 2.4);
	assert_function("rnn_serving", 2698, 5, 1.9);
	assert_function("lr_training", 23841, 725, 4.9);
	assert_function("video_processing", 8038, 2527, 2.8);
	assert_null(functions_name(10));
}

static void functions_are_the_same_every_time(void **state)
{
	struct workload first = create("pyaes", 0);
	struct workload second = create("pyaes", 0);

	(void)state;
	assert_memory_equal(first.touches, second.touches,
			    first.touch_count * sizeof(*first.touches));
	workload_destroy(&first);
	workload_destroy(&second);
}

static void functions_spread_over_the_guest(void **state)
{
	struct workload workload = create("helloworld", 0);
	size_t upper_half = 0;

	(void)state;
	for (size_t i = 0; i < workload.touch_count; i++)
		upper_half += workload.touches[i].offset >= workload.memory / 2;
	assert_in_range(upper_half, workload.touch_count * 4 / 10, workload.touch_count * 6 / 10);
	workload_destroy(&workload);
}

static void save_trace(const char *path)
{
	static const struct lazymem_guest_range ranges[] = {
		{{5 * MIB}, 2 * PAGE_BYTES},
		{{PAGE_BYTES}, PAGE_BYTES},
		{{5 * MIB + PAGE_BYTES}, 2 * PAGE_BYTES},
	};
	struct lazymem_trace *trace;

	assert_int_equal(lazymem_trace_create(PAGE_BYTES, &trace), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(lazymem_trace_append(trace, ranges[i]), 0);
	assert_int_equal(lazymem_trace_save(trace, path), 0);
	lazymem_trace_destroy(trace);
}

static void traces_are_touched_in_their_order(void **state)
{
	static const uint64_t expected[] = {5 * MIB, 5 * MIB + PAGE_BYTES, PAGE_BYTES,
					    5 * MIB + 2 * PAGE_BYTES};
	char name[64] = "trace:/tmp/workload-test.XXXXXX";
	struct workload workload;
	int fd = mkstemp(name + 6);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	save_trace(name + 6);
	workload = create(name, 0);
	assert_int_equal(workload.memory, 6 * MIB);
	assert_int_equal(workload.touch_count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(workload.touches[i].offset, expected[i]);
	workload_destroy(&workload);
	assert_int_equal(workload_create(name, 4 * MIB, &workload), -1);
	unlink(name + 6);
}

static void unknown_names_are_known_to_be(void **state)
{
	(void)state;
	assert_true(workload_known("mixed"));
	assert_true(workload_known("lr_training"));
	assert_true(workload_known("trace:x"));
	assert_false(workload_known("trace:"));
	assert_false(workload_known("functions"));
	assert_false(workload_known("guests"));
	assert_false(workload_known(""));
}

static void groups_name_their_members(void **state)
{
	(void)state;
	assert_string_equal(workload_member("functions", 0), "helloworld");
	assert_string_equal(workload_member("functions", 9), "video_processing");
	assert_null(workload_member("functions", 10));
	assert_string_equal(workload_member("mixed", 0), "mixed");
	assert_null(workload_member("mixed", 1));
	assert_null(workload_member("nosuch", 0));
}

static void only_the_touched_of_the_recorded_count(void **state)
{
	struct workload workload = {.name = "test", .memory = MIB};

	(void)state;
	assert_int_equal(workload_reserve(&workload, 3, 3), 0);
	workload_append(&workload, 0, true);
	workload_touch(&workload, PAGE_BYTES, false);
	workload_touch(&workload, 2 * PAGE_BYTES, true);
	workload_record(&workload, 5 * PAGE_BYTES);
	workload_record(&workload, 2 * PAGE_BYTES);
	assert_int_equal(workload.touch_count, 3);
	assert_int_equal(workload.recorded_count, 3);
	assert_int_equal(workload_recorded_touches(&workload), 2);
	workload_destroy(&workload);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_page_is_touched_once),
		cmocka_unit_test(functions_have_the_published_shape),
		cmocka_unit_test(functions_are_the_same_every_time),
		cmocka_unit_test(functions_spread_over_the_guest),
		cmocka_unit_test(traces_are_touched_in_their_order),
		cmocka_unit_test(unknown_names_are_known_to_be),
		cmocka_unit_test(groups_name_their_members),
		cmocka_unit_test(only_the_touched_of_the_recorded_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
