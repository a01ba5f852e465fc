/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_test.c - what was written is what is read.
 */
#include "write_fixture.h"

#include <lazymem/inject.h>

static struct memory memory, base;
static char *path, *parent_path;

static int set_up(void **state)
{
	make_directory(state);
	path = path_of("snapshot");
	parent_path = path_of("parent");
	return 0;
}

static int tear_down(void **state)
{
	lazymem_backing_unref(memory.backing);
	lazymem_backing_unref(base.backing);
	memory.backing = base.backing = NULL;
	free(path);
	free(parent_path);
	return remove_directory(state);
}

/* ---- parents ------------------------------------------------------------- */

/* Write `base` to parent_path, and a plan for `memory` as a layer over it. */
static struct lazymem_snapshot_plan plan_layer(struct lazymem_snapshot **ret_parent)
{
	const struct lazymem_snapshot_plan below = plan_of(base.backing);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(parent_path, &below);
	*ret_parent = open_snapshot(parent_path);
	plan.parent = *ret_parent;
	plan.parent_path = "parent";
	return plan;
}

static void layer_leaves_equal_pages_to_its_parent(void **state)
{
	struct lazymem_snapshot *parent;

	(void)state;
	make_memory(&base, "dddzhdrdhz", 500 * PAGE);
	make_memory(&memory, "dDzzhhrRdd", 500 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_layer(&parent);

	write_snapshot(path, &plan);
	lazymem_snapshot_unref(parent);
	assert_holds(path, &memory);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_PARENT], 50 * 4);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_ZERO], 50 * 2);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_RAW], 50 * 4);
}

static void layer_of_a_layer_comes_back(void **state)
{
	struct lazymem_snapshot *parent, *grandparent;
	char *middle = path_of("middle");

	(void)state;
	make_memory(&base, "dddzhdrdhz", 500 * PAGE);
	make_memory(&memory, "dDzzhhrRdd", 500 * PAGE);
	struct lazymem_snapshot_plan plan = plan_layer(&grandparent);

	write_snapshot(middle, &plan);
	lazymem_snapshot_unref(grandparent);
	lazymem_backing_unref(memory.backing);
	make_memory(&memory, "dDDzhdhRrd", 500 * PAGE);
	parent = open_snapshot(middle);
	plan.source = memory.backing;
	plan.parent = parent;
	plan.parent_path = "middle";
	write_snapshot(path, &plan);
	lazymem_snapshot_unref(parent);
	assert_holds(path, &memory);
	free(middle);
}

static void holes_in_both_are_not_read(void **state)
{
	struct lazymem_snapshot *parent;

	(void)state;
	make_memory(&base, "h", UINT64_C(1) << 50);
	make_memory(&memory, "h", UINT64_C(1) << 50);
	const struct lazymem_snapshot_plan plan = plan_layer(&parent);

	write_snapshot(path, &plan);
	lazymem_snapshot_unref(parent);
	assert_int_equal(layer_of(path).pages[LAZYMEM_CHUNK_PARENT], UINT64_C(1) << 38);
}

static void layer_over_its_own_ground_is_refused(void **state)
{
	struct lazymem_snapshot *parent;

	(void)state;
	make_memory(&base, "d", 8 * PAGE);
	make_memory(&memory, "dD", 8 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_layer(&parent);

	assert_int_equal(lazymem_snapshot_write(parent_path, &plan), -EINVAL);
	assert_says("which it needs as a parent");
	lazymem_snapshot_unref(parent);
	assert_holds(parent_path, &base);
}

/* A stack is merged into the file of its parent, while it is being read. */
static void snapshot_takes_the_place_of_what_it_is_made_of(void **state)
{
	struct lazymem_snapshot *parent, *top;

	(void)state;
	make_memory(&base, "dddzhdrdhz", 500 * PAGE);
	make_memory(&memory, "dDzzhhrRdd", 500 * PAGE);
	const struct lazymem_snapshot_plan layer = plan_layer(&parent);

	write_snapshot(path, &layer);
	lazymem_snapshot_unref(parent);
	top = open_snapshot(path);
	const struct lazymem_snapshot_plan merge = plan_of(lazymem_snapshot_backing(top));

	write_snapshot(parent_path, &merge);
	write_snapshot(path, &merge);
	lazymem_snapshot_unref(top);
	assert_holds(parent_path, &memory);
	assert_holds(path, &memory);
}

/* ---- the working set ----------------------------------------------------- */

static struct lazymem_trace *make_trace(const uint64_t (*ranges)[2], size_t count)
{
	struct lazymem_trace *trace = NULL;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	for (size_t i = 0; i < count; i++) {
		const struct lazymem_guest_range range = {{ranges[i][0] * PAGE},
							  ranges[i][1] * PAGE};

		assert_int_equal(lazymem_trace_append(trace, range), 0);
	}
	return trace;
}

static void pages_of_the_trace_are_stored_first_in_its_order(void **state)
{
	static const uint64_t ranges[][2] = {{70, 3}, {10, 1}, {99, 1}, {40, 2}, {0, 1}};
	unsigned char expected[4096];
	size_t length, at = PAGE;

	(void)state;
	make_memory(&memory, "r", 100 * PAGE);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);
	struct lazymem_trace *trace = make_trace(ranges, 5);

	plan.trace = trace;
	write_snapshot(path, &plan);
	lazymem_trace_destroy(trace);
	unsigned char *bytes = read_file(path, &length);

	for (size_t i = 0; i < 5; i++)
		for (uint64_t page = ranges[i][0]; page < ranges[i][0] + ranges[i][1]; page++) {
			fill_page(&memory, page, expected);
			assert_memory_equal(bytes + at, expected, PAGE);
			at += PAGE;
		}
	fill_page(&memory, 1, expected);
	assert_memory_equal(bytes + at, expected, PAGE);
	free(bytes);
	assert_holds(path, &memory);
}

static void trace_of_the_file_is_that_of_the_plan_bound_to_it(void **state)
{
	static const uint64_t ranges[][2] = {{70, 3}, {10, 1}, {99, 5}, {40, 2}, {200, 1}};
	static const uint64_t expected[][2] = {{70, 3}, {10, 1}, {99, 1}, {40, 2}};
	const struct lazymem_identity identity = identity_of(7);

	(void)state;
	make_memory(&memory, "r", 100 * PAGE);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);
	struct lazymem_trace *trace = make_trace(ranges, 5);

	plan.trace = trace;
	plan.identity = &identity;
	write_snapshot(path, &plan);
	lazymem_trace_destroy(trace);
	struct lazymem_snapshot *snapshot = open_snapshot(path);
	const struct lazymem_trace *stored = lazymem_snapshot_trace(snapshot);

	assert_non_null(stored);
	assert_int_equal(lazymem_trace_count(stored), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(lazymem_trace_range(stored, i).start.value, expected[i][0] * PAGE);
		assert_int_equal(lazymem_trace_range(stored, i).length, expected[i][1] * PAGE);
	}
	assert_memory_equal(lazymem_trace_identity(stored).bytes, identity.bytes, 32);
	lazymem_snapshot_unref(snapshot);
}

/* ---- the rest of the file ------------------------------------------------ */

static void regions_and_blobs_come_back(void **state)
{
	static const struct lazymem_snapshot_region regions[] = {
		{{0x100000000}, 60 * PAGE, 77}, {{0}, 30 * PAGE, 0}, {{0x80000}, 10 * PAGE, 0}};
	static const struct lazymem_snapshot_blob_source blobs[] = {
		{"vcpu 0", "\1\2\3", 3}, {"empty", NULL, 0}, {"devices", "0123456789", 10}};
	void *bytes = NULL;
	size_t length = 0;

	(void)state;
	make_memory(&memory, "dz", 100 * PAGE - 5);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	plan.regions = regions;
	plan.region_count = 3;
	plan.blobs = blobs;
	plan.blob_count = 3;
	write_snapshot(path, &plan);
	assert_holds(path, &memory);
	struct lazymem_snapshot *snapshot = open_snapshot(path);

	assert_int_equal(lazymem_snapshot_region_count(snapshot), 3);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 0).base.value, 0x100000000);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 2).offset, 90 * PAGE);
	assert_int_equal(lazymem_snapshot_blob_count(snapshot), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_string_equal(lazymem_snapshot_blob_name(snapshot, i), blobs[i].name);
		assert_int_equal(lazymem_snapshot_blob(snapshot, blobs[i].name, &bytes, &length),
				 0);
		assert_int_equal(length, blobs[i].length);
		if (length != 0)
			assert_memory_equal(bytes, blobs[i].bytes, length);
		free(bytes);
	}
	lazymem_snapshot_unref(snapshot);
}

static void one_region_at_zero_is_the_default(void **state)
{
	(void)state;
	make_memory(&memory, "dz", 10 * PAGE - 5);
	const struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	struct lazymem_snapshot *snapshot = open_snapshot(path);

	assert_int_equal(lazymem_snapshot_region_count(snapshot), 1);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 0).base.value, 0);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 0).length, 10 * PAGE);
	assert_null(lazymem_snapshot_trace(snapshot));
	lazymem_snapshot_unref(snapshot);
}

static void identity_is_that_of_the_plan_or_a_new_one(void **state)
{
	const struct lazymem_identity identity = identity_of(0x42);
	struct lazymem_identity first;

	(void)state;
	make_memory(&memory, "d", 10 * PAGE);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	write_snapshot(path, &plan);
	first = layer_of(path).identity;
	write_snapshot(path, &plan);
	assert_memory_not_equal(layer_of(path).identity.bytes, first.bytes, 32);
	plan.identity = &identity;
	write_snapshot(path, &plan);
	assert_memory_equal(layer_of(path).identity.bytes, identity.bytes, 32);
}

static void the_same_plan_gives_the_same_file(void **state)
{
	static const uint64_t ranges[][2] = {{700, 3}, {10, 100}, {999, 1}, {40, 2}, {0, 1}};
	const struct lazymem_identity identity = identity_of(1);
	char *again = path_of("again");
	size_t length, length_again;

	(void)state;
	make_memory(&memory, "dddrzhddd", 1000 * PAGE);
	struct lazymem_trace *trace = make_trace(ranges, 5);

	for (enum lazymem_chunk_kind kind = LAZYMEM_CHUNK_ZERO; kind < LAZYMEM_CHUNK_KINDS;
	     kind++) {
		struct lazymem_snapshot_plan plan = plan_of(memory.backing);

		if (kind == LAZYMEM_CHUNK_PARENT || kind == LAZYMEM_CHUNK_RAW ||
		    !lazymem_snapshot_supports(kind))
			continue;
		plan.identity = &identity;
		plan.trace = trace;
		plan.compression = kind;
		write_snapshot(path, &plan);
		write_snapshot(again, &plan);
		unsigned char *bytes = read_file(path, &length);
		unsigned char *bytes_again = read_file(again, &length_again);

		assert_int_equal(length, length_again);
		assert_memory_equal(bytes, bytes_again, length);
		free(bytes);
		free(bytes_again);
	}
	lazymem_trace_destroy(trace);
	free(again);
}

/* ---- on the way ---------------------------------------------------------- */

struct progress {
	uint64_t last, total, calls, stop_at;
};

static int note_progress(void *context, uint64_t done, uint64_t total)
{
	struct progress *progress = context;

	assert_true(done >= progress->last && done <= total);
	progress->last = done;
	progress->total = total;
	return ++progress->calls == progress->stop_at ? 1 : 0;
}

static void progress_ends_with_the_whole(void **state)
{
	struct progress progress = {0};

	(void)state;
	make_memory(&memory, "d", 1000 * PAGE - 1);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	plan.progress = note_progress;
	plan.context = &progress;
	write_snapshot(path, &plan);
	assert_true(progress.calls > 3);
	assert_int_equal(progress.last, 1000 * PAGE - 1);
	assert_int_equal(progress.total, 1000 * PAGE - 1);
}

static void cancelled_writing_leaves_nothing(void **state)
{
	struct progress progress = {.stop_at = 2};

	(void)state;
	make_memory(&memory, "d", 1000 * PAGE);
	struct lazymem_snapshot_plan plan = plan_of(memory.backing);

	plan.progress = note_progress;
	plan.context = &progress;
	assert_int_equal(lazymem_snapshot_write(path, &plan), -ECANCELED);
	assert_says(path);
	assert_says("cancelled");
	assert_int_equal(progress.calls, 2);
	assert_int_equal(files_in_directory(), 0);
}

static void failing_source_is_named_with_the_place(void **state)
{
	const struct lazymem_inject_range range = {.start = 600 * PAGE, .length = PAGE};
	struct lazymem_backing *failing;

	(void)state;
	make_memory(&memory, "d", 1000 * PAGE);
	assert_int_equal(lazymem_inject_fail(memory.backing, range, -EIO, UINT64_MAX, &failing), 0);
	const struct lazymem_snapshot_plan plan = plan_of(failing);

	assert_int_equal(lazymem_snapshot_write(path, &plan), -EIO);
	assert_says(path);
	assert_says("at offset 2097152"); /* of the piece */
	assert_int_equal(files_in_directory(), 0);
	lazymem_backing_unref(failing);
}

static void failing_parent_is_named(void **state)
{
	struct lazymem_snapshot *parent;
	int fd;

	(void)state;
	make_memory(&base, "d", 1000 * PAGE);
	make_memory(&memory, "D", 1000 * PAGE);
	const struct lazymem_snapshot_plan plan = plan_layer(&parent);

	fd = open(parent_path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "damage", 6, 500 * PAGE), 6);
	close(fd);
	assert_int_equal(lazymem_snapshot_write(path, &plan), -EBADMSG);
	assert_says(path);
	assert_says("parent");
	assert_int_equal(files_in_directory(), 1);
	lazymem_snapshot_unref(parent);
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(layer_leaves_equal_pages_to_its_parent),
		in_directory(layer_of_a_layer_comes_back),
		in_directory(holes_in_both_are_not_read),
		in_directory(layer_over_its_own_ground_is_refused),
		in_directory(snapshot_takes_the_place_of_what_it_is_made_of),
		in_directory(pages_of_the_trace_are_stored_first_in_its_order),
		in_directory(trace_of_the_file_is_that_of_the_plan_bound_to_it),
		in_directory(regions_and_blobs_come_back),
		in_directory(one_region_at_zero_is_the_default),
		in_directory(identity_is_that_of_the_plan_or_a_new_one),
		in_directory(the_same_plan_gives_the_same_file),
		in_directory(progress_ends_with_the_whole),
		in_directory(cancelled_writing_leaves_nothing),
		in_directory(failing_source_is_named_with_the_place),
		in_directory(failing_parent_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
