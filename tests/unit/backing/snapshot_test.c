/* SPDX-License-Identifier: MIT
 *
 * snapshot_test.c - what an open snapshot tells of itself, and how long it
 * lives.
 */
#include "snapshot_fixture.h"

static unsigned char *memory;

static int set_up(void **state)
{
	memory = calloc(PAGES, PAGE);
	return make_directory(state);
}

static int tear_down(void **state)
{
	free(memory);
	return remove_directory(state);
}

static struct lazymem_snapshot *open_snapshot(const char *name)
{
	struct lazymem_snapshot *snapshot;
	const int error = lazymem_snapshot_open(path_of(name), NULL, &snapshot);

	if (error != 0)
		print_error("%s\n", lazymem_error_message());
	assert_int_equal(error, 0);
	return snapshot;
}

static void backing_object_outlives_the_snapshot(void **state)
{
	unsigned char *bytes = malloc(PAGES * PAGE);
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *backing;
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	assert_ptr_equal(lazymem_snapshot_ref(snapshot), snapshot);
	lazymem_snapshot_unref(snapshot);
	backing = lazymem_backing_ref(lazymem_snapshot_backing(snapshot));
	lazymem_snapshot_unref(snapshot);
	assert_int_equal(lazymem_backing_read(backing, 0, bytes, PAGES * PAGE), 0);
	assert_memory_equal(bytes, memory, PAGES * PAGE);
	lazymem_backing_unref(backing);
	lazymem_snapshot_unref(NULL);
	free(bytes);
}

static void backing_object_has_the_path_the_length_and_the_identity(void **state)
{
	const struct lazymem_identity expected = identity_of(5);
	struct lazymem_identity identity;
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *backing;
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 5, 0, NULL);
	draft.memory_length -= 17;
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	backing = lazymem_snapshot_backing(snapshot);
	assert_string_equal(lazymem_backing_name(backing), path_of("base"));
	assert_int_equal(lazymem_backing_length(backing), PAGES * PAGE - 17);
	assert_int_equal(lazymem_backing_identity(backing, &identity), 0);
	assert_memory_equal(&identity, &expected, sizeof(identity));
	assert_true(lazymem_backing_takes_parts(backing));
	lazymem_snapshot_unref(snapshot);
}

static void regions_are_in_the_order_of_their_offsets(void **state)
{
	const struct lazymem_snapshot_region regions[] = {
		{.base = {UINT64_C(4) << 30}, .length = 40 * PAGE},
		{.base = {0}, .length = 24 * PAGE},
	};
	struct lazymem_snapshot *snapshot;
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_regions(&draft, regions, 2);
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	assert_int_equal(lazymem_snapshot_region_count(snapshot), 2);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 0).base.value, UINT64_C(4) << 30);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 0).offset, 0);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 1).base.value, 0);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 1).length, 24 * PAGE);
	assert_int_equal(lazymem_snapshot_region_at(snapshot, 1).offset, 40 * PAGE);
	lazymem_snapshot_unref(snapshot);
}

static void trace_is_there_when_the_file_has_one(void **state)
{
	struct lazymem_snapshot *snapshot;
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	assert_null(lazymem_snapshot_trace(snapshot));
	lazymem_snapshot_unref(snapshot);
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_trace(&draft, &draft.identity);
	draft_write(&draft, path_of("base"));
	snapshot = open_snapshot("base");
	assert_int_equal(lazymem_trace_count(lazymem_snapshot_trace(snapshot)), 1);
	lazymem_snapshot_unref(snapshot);
}

/* ---- blobs ------------------------------------------------------------------ */

static struct lazymem_snapshot *open_with_blobs(void)
{
	struct draft draft;

	draft_begin(&draft, memory, 1, 0, NULL);
	draft_blob(&draft, "devices", "the state of the devices", 24);
	draft_blob(&draft, "empty", "", 0);
	draft_write(&draft, path_of("base"));
	return open_snapshot("base");
}

static void blobs_are_read_by_name(void **state)
{
	struct lazymem_snapshot *snapshot = open_with_blobs();
	void *bytes;
	size_t length;

	(void)state;
	assert_int_equal(lazymem_snapshot_blob_count(snapshot), 2);
	assert_string_equal(lazymem_snapshot_blob_name(snapshot, 0), "devices");
	assert_int_equal(lazymem_snapshot_blob_length(snapshot, 0), 24);
	assert_string_equal(lazymem_snapshot_blob_name(snapshot, 1), "empty");
	assert_int_equal(lazymem_snapshot_blob(snapshot, "devices", &bytes, &length), 0);
	assert_int_equal(length, 24);
	assert_memory_equal(bytes, "the state of the devices", 24);
	free(bytes);
	assert_int_equal(lazymem_snapshot_blob(snapshot, "empty", &bytes, &length), 0);
	assert_int_equal(length, 0);
	assert_non_null(bytes);
	free(bytes);
	lazymem_snapshot_unref(snapshot);
}

static void blob_that_is_not_there_is_named(void **state)
{
	struct lazymem_snapshot *snapshot = open_with_blobs();
	void *bytes = &bytes;
	size_t length = 7;

	(void)state;
	assert_int_equal(lazymem_snapshot_blob(snapshot, "cpus", &bytes, &length), -ENOENT);
	assert_non_null(strstr(lazymem_error_message(), "cpus"));
	assert_ptr_equal(bytes, &bytes);
	assert_int_equal(length, 7);
	lazymem_snapshot_unref(snapshot);
}

/* Flip a bit of the first place where the file at `path` has `bytes`. */
static void damage(const char *path, const void *bytes, size_t length)
{
	static unsigned char file[1 << 20];
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	const ssize_t size = pread(fd, file, sizeof(file), 0);
	unsigned char *place = memmem(file, (size_t)size, bytes, length);

	assert_non_null(place);
	place[length / 2] ^= 4;
	assert_int_equal(pwrite(fd, place, length, place - file), length);
	close(fd);
}

static void damaged_blob_is_refused(void **state)
{
	struct lazymem_snapshot *snapshot = open_with_blobs();
	void *bytes;
	size_t length;

	(void)state;
	damage(path_of("base"), "the state of the devices", 24);
	assert_int_equal(lazymem_snapshot_blob(snapshot, "devices", &bytes, &length), -EBADMSG);
	assert_non_null(strstr(lazymem_error_message(), "devices"));
	assert_non_null(strstr(lazymem_error_message(), path_of("base")));
	lazymem_snapshot_unref(snapshot);
}

static void blob_that_was_cut_off_is_refused(void **state)
{
	struct lazymem_snapshot *snapshot = open_with_blobs();
	void *bytes;
	size_t length;

	(void)state;
	assert_int_equal(truncate(path_of("base"), 4096), 0);
	assert_int_equal(lazymem_snapshot_blob(snapshot, "devices", &bytes, &length), -ENODATA);
	lazymem_snapshot_unref(snapshot);
}

/* ---- layers ----------------------------------------------------------------- */

static void layers_tell_what_their_files_hold(void **state)
{
	const struct lazymem_identity one = identity_of(1), two = identity_of(2);
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
	struct lazymem_snapshot *snapshot;
	uint64_t pages = 0;
	struct draft draft;
	struct stat status;
	size_t chunks;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_write(&draft, path_of("base"));
	draft_begin(&draft, memory, 2, 1, "base");
	chunks = draft.layer.chunk_count;
	draft_write(&draft, path_of("top"));
	snapshot = open_snapshot("top");
	assert_int_equal(lazymem_snapshot_layer_count(snapshot), 2);

	assert_int_equal(lazymem_snapshot_layer_at(snapshot, 0, &layer), 0);
	assert_string_equal(layer.path, path_of("top"));
	assert_string_equal(layer.parent_path, "base");
	assert_memory_equal(&layer.identity, &two, sizeof(two));
	assert_memory_equal(&layer.parent, &one, sizeof(one));
	assert_int_equal(stat(path_of("top"), &status), 0);
	assert_int_equal(layer.file_length, status.st_size);
	assert_int_equal(layer.chunk_count, chunks);
	for (size_t kind = 0; kind < LAZYMEM_CHUNK_KINDS; kind++) {
		pages += layer.pages[kind];
		assert_true(layer.stored[kind] <= layer.pages[kind] * PAGE);
	}
	assert_int_equal(pages, PAGES);
	assert_int_equal(layer.stored[LAZYMEM_CHUNK_RAW], layer.pages[LAZYMEM_CHUNK_RAW] * PAGE);
	assert_int_equal(layer.stored[LAZYMEM_CHUNK_ZERO], 0);
	assert_int_equal(layer.stored[LAZYMEM_CHUNK_PARENT], 0);

	assert_int_equal(lazymem_snapshot_layer_at(snapshot, 1, &layer), 0);
	assert_string_equal(layer.path, path_of("base"));
	assert_null(layer.parent_path);
	assert_int_equal(layer.pages[LAZYMEM_CHUNK_PARENT], 0);
	lazymem_snapshot_unref(snapshot);
}

static void layer_that_is_not_there_is_refused(void **state)
{
	struct lazymem_snapshot *snapshot = open_with_blobs();
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	(void)state;
	assert_int_equal(lazymem_snapshot_layer_at(snapshot, 1, &layer), -EINVAL);
	assert_non_null(strstr(lazymem_error_message(), "layer 1"));
	layer.size = 1;
	assert_int_equal(lazymem_snapshot_layer_at(snapshot, 0, &layer), -EINVAL);
	lazymem_snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backing_object_outlives_the_snapshot),
		cmocka_unit_test(backing_object_has_the_path_the_length_and_the_identity),
		cmocka_unit_test(regions_are_in_the_order_of_their_offsets),
		cmocka_unit_test(trace_is_there_when_the_file_has_one),
		cmocka_unit_test(blobs_are_read_by_name),
		cmocka_unit_test(blob_that_is_not_there_is_named),
		cmocka_unit_test(damaged_blob_is_refused),
		cmocka_unit_test(blob_that_was_cut_off_is_refused),
		cmocka_unit_test(layers_tell_what_their_files_hold),
		cmocka_unit_test(layer_that_is_not_there_is_refused),
	};

	seed_random();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
