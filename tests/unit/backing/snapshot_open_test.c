/* wrap: malloc calloc reallocarray strdup strndup */
/* SPDX-License-Identifier: MIT
 *
 * snapshot_open_test.c - opening a snapshot and its parents: what is refused,
 * by which name, and that nothing is left behind.
 */
#include "snapshot_fixture.h"

#include <sys/inotify.h>
#include <sys/stat.h>

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_reallocarray(void *bytes, size_t count, size_t size);
void *__wrap_reallocarray(void *bytes, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__real_strndup(const char *text, size_t length);
char *__wrap_strndup(const char *text, size_t length);

static int allocations_left = -1; /* before one fails; below zero: none does */

static size_t largest_allocation;

static bool is_refused(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_malloc(size_t size)
{
	largest_allocation = size > largest_allocation ? size : largest_allocation;
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *bytes, size_t count, size_t size)
{
	return is_refused() ? NULL : __real_reallocarray(bytes, count, size);
}

char *__wrap_strdup(const char *text)
{
	return is_refused() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t length)
{
	return is_refused() ? NULL : __real_strndup(text, length);
}

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

static size_t open_descriptors(void)
{
	size_t count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Opening `path` fails with `expected`, and the message holds `part` and
 * begins with the path of `culprit`. */
static void assert_refused_with(const struct lazymem_snapshot_options *options, const char *path,
				int expected, const char *culprit, const char *part)
{
	struct lazymem_snapshot *snapshot = NULL;
	const size_t before = open_descriptors();
	const int error = lazymem_snapshot_open(path, options, &snapshot);

	if (error != expected || strncmp(lazymem_error_message(), culprit, strlen(culprit)) != 0 ||
	    strstr(lazymem_error_message(), part) == NULL)
		print_error("%d: %s\n", error, lazymem_error_message());
	assert_int_equal(error, expected);
	assert_int_equal(strncmp(lazymem_error_message(), culprit, strlen(culprit)), 0);
	assert_non_null(strstr(lazymem_error_message(), part));
	assert_null(snapshot);
	assert_int_equal(open_descriptors(), before);
}

static void assert_refused(const char *path, int expected, const char *part)
{
	assert_refused_with(NULL, path, expected, path, part);
}

static void assert_restores(const char *path, const struct lazymem_snapshot_options *options)
{
	unsigned char *bytes = malloc(PAGES * PAGE);
	struct lazymem_snapshot *snapshot;
	int error = lazymem_snapshot_open(path, options, &snapshot);

	if (error != 0)
		print_error("%s\n", lazymem_error_message());
	assert_int_equal(error, 0);
	assert_int_equal(
		lazymem_backing_read(lazymem_snapshot_backing(snapshot), 0, bytes, PAGES * PAGE),
		0);
	assert_memory_equal(bytes, memory, PAGES * PAGE);
	lazymem_snapshot_unref(snapshot);
	free(bytes);
}

/* A file on its own, or `number` over `parent`, at random. */
static void write_file(const char *name, unsigned char number, unsigned char parent,
		       const char *parent_path)
{
	struct draft draft;

	draft_begin(&draft, memory, number, parent, parent_path);
	draft_write(&draft, path_of(name));
}

/* ---- one file --------------------------------------------------------------- */

static void file_is_restored(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		write_file("base", 1, 0, NULL);
		assert_restores(path_of("base"), NULL);
	}
}

static void sections_that_lie_apart_are_found(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_trace(&draft, &draft.identity);
	draft_blob(&draft, "state", "12345", 5);
	draft.apart = 100000;
	draft_write(&draft, path_of("base"));
	assert_restores(path_of("base"), NULL);
}

static void file_is_read_with_o_direct(void **state)
{
	const struct lazymem_snapshot_options options = {.size = sizeof(options),
							 .flags = LAZYMEM_SNAPSHOT_DIRECT};
	struct lazymem_snapshot *snapshot;
	int error;

	(void)state;
	write_file("base", 1, 0, NULL);
	error = lazymem_snapshot_open(path_of("base"), &options, &snapshot);
	if (error == -EOPNOTSUPP || error == -EINVAL)
		skip();
	assert_int_equal(error, 0);
	lazymem_snapshot_unref(snapshot);
	assert_restores(path_of("base"), &options);
}

static void what_is_no_regular_file_is_refused(void **state)
{
	(void)state;
	assert_refused(path_of("none"), -ENOENT, "No such file");
	assert_refused(directory, -EISDIR, "directory");
	assert_refused("/dev/null", -EINVAL, "no regular file");
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_refused(path_of("fifo"), -EINVAL, "no regular file");
}

static void wrong_arguments_are_refused(void **state)
{
	const char *const none[] = {NULL};
	struct lazymem_snapshot_options options = {.size = sizeof(options), .flags = 0x80};
	struct lazymem_snapshot *snapshot;

	(void)state;
	write_file("base", 1, 0, NULL);
	assert_int_equal(lazymem_snapshot_open(NULL, NULL, &snapshot), -EINVAL);
	assert_refused_with(&options, path_of("base"), -EINVAL, path_of("base"), "flag");
	options = (struct lazymem_snapshot_options){.size = sizeof(options), .parent_count = 1};
	assert_refused_with(&options, path_of("base"), -EINVAL, path_of("base"), "parents");
	options.parents = none;
	assert_refused_with(&options, path_of("base"), -EINVAL, path_of("base"), "parent 0");
}

static void file_that_is_no_snapshot_is_refused(void **state)
{
	(void)state;
	sample_write(path_of("short"), 0, 4095);
	assert_refused(path_of("short"), -EBADMSG, "too few");
	sample_write(path_of("other"), 0, 8192);
	assert_refused(path_of("other"), -EBADMSG, "LZMSNAPS");
}

static void file_of_another_length_is_refused(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft.file_length = 1 << 20;
	draft_write(&draft, path_of("base"));
	assert_refused(path_of("base"), -EBADMSG, "1048576");
}

/* Bytes that somebody has put behind it are no part of it, and damage. */
static void file_that_is_longer_than_it_says_is_refused(void **state)
{
	int fd;

	(void)state;
	write_file("base", 1, 0, NULL);
	fd = open(path_of("base"), O_WRONLY | O_APPEND | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "tail", 4), 4);
	close(fd);
	assert_refused(path_of("base"), -EBADMSG, "the header speaks of");
}

static void damaged_section_is_refused_by_name(void **state)
{
	static const char *const names[] = {
		"", "regions", "chunks", "checksums", "parent path", "trace", "blobs"};

	(void)state;
	for (int type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++) {
		struct lm_snapshot_header header;
		unsigned char bytes[4096];
		struct draft draft;
		struct stat status;
		int fd;

		draft_begin(&draft, memory, 2, 1, "base");
		draft_trace(&draft, &draft.identity);
		draft_blob(&draft, "state", "12345", 5);
		draft_write(&draft, path_of("layer"));
		fd = open(path_of("layer"), O_RDWR | O_CLOEXEC);
		assert_int_equal(fstat(fd, &status), 0);
		assert_int_equal(read(fd, bytes, 4096), 4096);
		assert_int_equal(lm_snapshot_parse_header(bytes, (uint64_t)status.st_size, &header),
				 0);
		assert_int_equal(pread(fd, bytes, 1, (off_t)header.sections[type].offset), 1);
		bytes[0] ^= 1;
		assert_int_equal(pwrite(fd, bytes, 1, (off_t)header.sections[type].offset), 1);
		close(fd);
		assert_refused(path_of("layer"), -EBADMSG, names[type]);
	}
}

static void trace_of_another_image_is_refused(void **state)
{
	const struct lazymem_identity other = identity_of(9);
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_trace(&draft, &other);
	draft_write(&draft, path_of("base"));
	assert_refused(path_of("base"), -EBADMSG, "trace");
}

static void damaged_trace_is_refused(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_trace(&draft, &draft.identity);
	draft.sections[LM_SECTION_TRACE][20] ^= 1;
	draft_write(&draft, path_of("base"));
	assert_refused(path_of("base"), -EBADMSG, "trace");
}

/* Give the file a trace of so many bytes, of which there are none on the disk. */
static void add_hole_as_trace(const char *path, uint64_t length)
{
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char bytes[LM_SNAPSHOT_HEADER_SIZE];
	struct lm_snapshot_header header;
	struct stat status;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(lm_snapshot_parse_header(bytes, (uint64_t)status.st_size, &header), 0);
	header.sections[LM_SECTION_TRACE] = (struct lm_section){
		.present = true, .offset = header.file_length, .length = length};
	header.file_length += length;
	lm_snapshot_put_header(&header, bytes);
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(ftruncate(fd, (off_t)header.file_length), 0);
	close(fd);
}

static void section_that_is_not_on_the_disk_takes_no_memory(void **state)
{
	const uint64_t length = UINT64_C(1) << 30;

	(void)state;
	write_file("base", 1, 0, NULL);
	add_hole_as_trace(path_of("base"), length);
	largest_allocation = 0;
	assert_refused(path_of("base"), -EBADMSG, "section trace: a hole");
	assert_true(largest_allocation < length);
}

static void unknown_feature_is_told_from_damage(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft.features |= 0x100;
	draft_write(&draft, path_of("base"));
	assert_refused(path_of("base"), -EPROTONOSUPPORT, "0x100");
}

/* ---- parents ---------------------------------------------------------------- */

static void layers_of_any_depth_are_restored(void **state)
{
	(void)state;
	write_file("0", 1, 0, NULL);
	for (unsigned char i = 1; i < 64; i++) {
		char name[8], below[8];

		snprintf(name, sizeof(name), "%d", i);
		snprintf(below, sizeof(below), "%d", i - 1);
		write_file(name, (unsigned char)(i + 1), i, below);
		if (i < 4 || i % 9 == 0)
			assert_restores(path_of(name), NULL);
	}
	assert_restores(path_of("63"), NULL);
}

static void parents_are_found_where_the_caller_says(void **state)
{
	const char *parents[2];
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options), .parents = parents, .parent_count = 2};

	(void)state;
	write_file("base", 1, 0, NULL);
	write_file("middle", 2, 1, "nowhere");
	write_file("top", 3, 2, "/nowhere/at/all");
	assert_refused_with(NULL, path_of("top"), -ENOENT, "/nowhere/at/all", path_of("top"));
	parents[0] = path_of("middle");
	parents[1] = path_of("base");
	assert_restores(path_of("top"), &options);
}

static void absolute_path_of_a_parent_is_taken_as_it_is(void **state)
{
	char *absolute = realpath(directory, NULL);
	char path[512];

	(void)state;
	write_file("base", 1, 0, NULL);
	snprintf(path, sizeof(path), "%s/base", absolute);
	write_file("top", 2, 1, path);
	assert_restores(path_of("top"), NULL);
	free(absolute);
}

static void parent_beside_a_file_without_a_directory_is_found(void **state)
{
	char *before = getcwd(NULL, 0);

	(void)state;
	write_file("base", 1, 0, NULL);
	write_file("top", 2, 1, "base");
	assert_int_equal(chdir(directory), 0);
	assert_restores("top", NULL);
	assert_int_equal(chdir(before), 0);
	free(before);
}

static void parent_with_another_identity_is_refused(void **state)
{
	(void)state;
	write_file("base", 7, 0, NULL);
	write_file("top", 2, 1, "base");
	assert_refused_with(NULL, path_of("top"), -ESTALE, path_of("base"), path_of("top"));
}

static void file_that_is_its_own_ancestor_is_refused(void **state)
{
	(void)state;
	write_file("self", 1, 1, "self");
	assert_refused_with(NULL, path_of("self"), -ELOOP, path_of("self"), "ancestor");
	write_file("a", 1, 2, "b");
	write_file("b", 2, 1, "a");
	assert_refused_with(NULL, path_of("a"), -ELOOP, path_of("a"), path_of("b"));
	assert_int_equal(link(path_of("a"), path_of("c")), 0);
	write_file("b", 2, 1, "c");
	assert_refused_with(NULL, path_of("a"), -ELOOP, path_of("c"), "ancestor");
}

static void copy_with_the_identity_of_its_descendant_is_refused(void **state)
{
	(void)state;
	write_file("base", 1, 0, NULL);
	write_file("top", 1, 1, "base");
	assert_refused_with(NULL, path_of("top"), -ELOOP, path_of("base"), "identity");
}

static void parent_of_another_length_is_refused(void **state)
{
	const struct lazymem_snapshot_region region = {.base = {UINT64_C(1) << 32},
						       .length = PAGES * PAGE};
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_regions(&draft, &region, 1);
	draft.memory_length -= 5;
	draft_write(&draft, path_of("base"));
	write_file("top", 2, 1, "base");
	assert_refused_with(NULL, path_of("top"), -EBADMSG, path_of("base"), "bytes");
}

static void parent_with_other_regions_is_refused(void **state)
{
	struct lazymem_snapshot_region regions[2] = {{.base = {0}, .length = PAGES * PAGE}};
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_regions(&draft, regions, 1);
	draft_write(&draft, path_of("base"));
	write_file("top", 2, 1, "base");
	assert_refused_with(NULL, path_of("top"), -EBADMSG, path_of("base"), "regions");

	regions[0] = (struct lazymem_snapshot_region){.base = {UINT64_C(1) << 32}, .length = PAGE};
	regions[1] = (struct lazymem_snapshot_region){.base = {(UINT64_C(1) << 32) + PAGE},
						      .length = (PAGES - 1) * PAGE};
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_regions(&draft, regions, 2);
	draft_write(&draft, path_of("base"));
	assert_refused_with(NULL, path_of("top"), -EBADMSG, path_of("base"), "regions");
}

static void damaged_parent_is_named(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft.sections[LM_SECTION_CHUNKS][12] = 77;
	draft_write(&draft, path_of("base"));
	write_file("top", 2, 1, "base");
	assert_refused_with(NULL, path_of("top"), -EBADMSG, path_of("base"), "77");
	assert_non_null(strstr(lazymem_error_message(), "the parent of"));
}

/* A file may say of its parent that it is any device of the host. */
static void parent_that_is_no_regular_file_is_not_even_opened(void **state)
{
	const int notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	char event[512];

	(void)state;
	assert_true(notify >= 0);
	assert_int_equal(mkfifo(path_of("fifo"), 0600), 0);
	assert_true(inotify_add_watch(notify, path_of("fifo"), IN_OPEN) >= 0);
	write_file("top", 2, 1, "fifo");
	assert_refused_with(NULL, path_of("top"), -EINVAL, path_of("fifo"), "no regular file");
	assert_int_equal(read(notify, event, sizeof(event)), -1);
	assert_int_equal(errno, EAGAIN);
	close(notify);
}

static void parent_that_is_an_export_is_not_connected_to(void **state)
{
	const char *const parents[] = {path_of("base")};
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options), .parents = parents, .parent_count = 1};

	(void)state;
	write_file("base", 1, 0, NULL);
	write_file("top", 2, 1, "nbd+unix:///base?socket=/nowhere");
	assert_refused_with(NULL, path_of("top"), -ENOENT, path_of("top"),
			    "its parent is nbd+unix:///base?socket=/nowhere, which is no file");
	assert_restores(path_of("top"), &options);
}

static void lowest_file_may_leave_nothing_to_a_parent(void **state)
{
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 2, "base");
	draft.layer.chunks[0].kind = LAZYMEM_CHUNK_PARENT;
	draft.layer.chunks[0].position = 0;
	draft.layer.chunks[0].stored = 0;
	draft.layer.chunks[0].checksum = 0;
	draft_chunks(&draft);
	draft.present[LM_SECTION_PARENT] = false;
	draft.features &= ~(uint64_t)LM_FEATURE_PARENT;
	draft.parent = (struct lazymem_identity){0};
	draft_write(&draft, path_of("base"));
	assert_refused(path_of("base"), -EBADMSG, "parent");
}

static void opening_leaves_nothing_behind_when_memory_is_short(void **state)
{
	const size_t before = open_descriptors();
	struct lazymem_snapshot *snapshot;
	unsigned refused = 0;
	struct draft draft;
	int error = -ENOMEM;

	(void)state;
	write_file("base", 1, 0, NULL);
	draft_begin(&draft, memory, 2, 1, "base");
	draft_trace(&draft, &draft.identity);
	draft_blob(&draft, "state", "12345", 5);
	draft_write(&draft, path_of("top"));
	for (int left = 0; allocations_left < 0; left++) {
		allocations_left = left;
		error = lazymem_snapshot_open(path_of("top"), NULL, &snapshot);
		if (error == 0)
			lazymem_snapshot_unref(snapshot);
		else
			assert_int_equal(error, -ENOMEM);
		assert_int_equal(open_descriptors(), before);
		refused += error != 0;
	}
	allocations_left = -1;
	assert_int_equal(error, 0);
	assert_true(refused > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_is_restored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sections_that_lie_apart_are_found, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(file_is_read_with_o_direct, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_regular_file_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(wrong_arguments_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(file_that_is_no_snapshot_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(file_of_another_length_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(file_that_is_longer_than_it_says_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(damaged_section_is_refused_by_name, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(trace_of_another_image_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(damaged_trace_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(section_that_is_not_on_the_disk_takes_no_memory,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(unknown_feature_is_told_from_damage, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(layers_of_any_depth_are_restored, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(parents_are_found_where_the_caller_says, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(absolute_path_of_a_parent_is_taken_as_it_is, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(parent_beside_a_file_without_a_directory_is_found,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(parent_with_another_identity_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(file_that_is_its_own_ancestor_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(copy_with_the_identity_of_its_descendant_is_refused,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(parent_of_another_length_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(parent_with_other_regions_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(damaged_parent_is_named, set_up, tear_down),
		cmocka_unit_test_setup_teardown(parent_that_is_an_export_is_not_connected_to,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(parent_that_is_no_regular_file_is_not_even_opened,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(lowest_file_may_leave_nothing_to_a_parent, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(opening_leaves_nothing_behind_when_memory_is_short,
						set_up, tear_down),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
