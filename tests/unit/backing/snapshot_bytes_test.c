/* wrap: malloc calloc reallocarray strdup */
/* SPDX-License-Identifier: MIT
 *
 * snapshot_bytes_test.c - a snapshot whose files are backing objects: what is read of
 * them, how long they may be, which of them belong together, and who keeps them.
 */
#include "snapshot_fixture.h"

#include <lazymem/bytes.h>
#include <lazymem/inject.h>
#include <sys/stat.h>

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_reallocarray(void *bytes, size_t count, size_t size);
void *__wrap_reallocarray(void *bytes, size_t count, size_t size);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

static int allocations_left = -1; /* before one fails; below zero: none does */

static bool is_refused(void)
{
	return allocations_left >= 0 && allocations_left-- == 0;
}

void *__wrap_malloc(size_t size)
{
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

static unsigned char *memory;
static size_t released; /* objects that nobody has a reference to any more */

static int set_up(void **state)
{
	memory = calloc(PAGES, PAGE);
	released = 0;
	return make_directory(state);
}

static int tear_down(void **state)
{
	free(memory);
	return remove_directory(state);
}

static void release(void *bytes)
{
	free(bytes);
	released++;
}

/* The file that the draft makes, and so many other bytes behind it. */
static struct lazymem_backing *write_object(struct draft *draft, size_t more)
{
	const char *path = path_of("file");
	struct lazymem_backing *object;
	unsigned char *bytes;
	struct stat status;
	size_t length;
	int fd;

	draft_write(draft, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &status), 0);
	length = (size_t)status.st_size;
	bytes = malloc(length + more);
	assert_non_null(bytes);
	assert_int_equal(pread(fd, bytes, length, 0), length);
	memset(bytes + length, 0xee, more);
	close(fd);
	assert_int_equal(lazymem_bytes_create(bytes, length + more, release, bytes, &object), 0);
	return object;
}

/* A file on its own, or `number` over `parent`, at random. */
static struct lazymem_backing *object_of(unsigned char number, unsigned char parent)
{
	struct draft draft;

	draft_begin(&draft, memory, number, parent, "/nowhere/at/all");
	return write_object(&draft, 0);
}

static struct lazymem_snapshot *open_objects(struct lazymem_backing *const *files, size_t count)
{
	struct lazymem_snapshot *snapshot = NULL;
	const int error = lazymem_snapshot_open_objects(files, count, &snapshot);

	if (error != 0)
		print_error("%s\n", lazymem_error_message());
	assert_int_equal(error, 0);
	return snapshot;
}

static void assert_holds_memory(const struct lazymem_snapshot *snapshot)
{
	unsigned char *bytes = malloc(PAGES * PAGE);

	assert_int_equal(
		lazymem_backing_read(lazymem_snapshot_backing(snapshot), 0, bytes, PAGES * PAGE),
		0);
	assert_memory_equal(bytes, memory, PAGES * PAGE);
	free(bytes);
}

static void assert_refused(struct lazymem_backing *const *files, size_t count, int expected,
			   const char *part)
{
	struct lazymem_snapshot *snapshot = NULL;
	const int error = lazymem_snapshot_open_objects(files, count, &snapshot);

	if (error != expected || strstr(lazymem_error_message(), part) == NULL)
		print_error("%d: %s\n", error, lazymem_error_message());
	assert_int_equal(error, expected);
	assert_non_null(strstr(lazymem_error_message(), part));
	assert_null(snapshot);
}

static void drop(struct lazymem_backing *const *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		lazymem_backing_unref(files[i]);
}

/* ---- one object ------------------------------------------------------------- */

static void object_is_restored(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct lazymem_backing *object = object_of(1, 0);
		struct lazymem_snapshot *snapshot = open_objects(&object, 1);

		assert_holds_memory(snapshot);
		lazymem_snapshot_unref(snapshot);
		lazymem_backing_unref(object);
	}
}

static void blobs_and_trace_come_from_the_object(void **state)
{
	struct lazymem_snapshot *snapshot;
	struct lazymem_backing *object;
	struct draft draft;
	size_t length;
	void *blob;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft_trace(&draft, &draft.identity);
	draft_blob(&draft, "state", "12345", 5);
	draft.apart = 100000;
	object = write_object(&draft, 0);
	snapshot = open_objects(&object, 1);
	assert_int_equal(lazymem_trace_count(lazymem_snapshot_trace(snapshot)), 1);
	assert_int_equal(lazymem_snapshot_blob(snapshot, "state", &blob, &length), 0);
	assert_int_equal(length, 5);
	assert_memory_equal(blob, "12345", 5);
	free(blob);
	assert_int_equal(lazymem_snapshot_verify(snapshot, NULL), 0);
	lazymem_snapshot_unref(snapshot);
	lazymem_backing_unref(object);
}

static void object_may_be_longer_than_the_file(void **state)
{
	const size_t lengths[] = {1, 511, 512, 4096, 5000000};

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct lazymem_backing *object;
		struct lazymem_snapshot *snapshot;
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		struct draft draft;

		draft_begin(&draft, memory, 1, 0, NULL);
		object = write_object(&draft, lengths[i]);
		snapshot = open_objects(&object, 1);
		assert_holds_memory(snapshot);
		assert_int_equal(lazymem_snapshot_layer_at(snapshot, 0, &layer), 0);
		assert_int_equal(layer.file_length, lazymem_backing_length(object) - lengths[i]);
		lazymem_snapshot_unref(snapshot);
		lazymem_backing_unref(object);
	}
}

static void object_that_is_cut_off_is_refused(void **state)
{
	struct lazymem_backing *object = object_of(1, 0);
	const size_t full = (size_t)lazymem_backing_length(object);
	const size_t lengths[] = {1, PAGE - 1, PAGE, full - PAGE, full - 1};
	unsigned char *bytes = malloc(full);

	(void)state;
	assert_int_equal(lazymem_backing_read(object, 0, bytes, full), 0);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		struct lazymem_backing *cut;

		assert_int_equal(lazymem_bytes_create(bytes, lengths[i], NULL, NULL, &cut), 0);
		assert_refused(&cut, 1, -EBADMSG,
			       lengths[i] < PAGE ? "too few for a header" : "the header speaks of");
		lazymem_backing_unref(cut);
	}
	lazymem_backing_unref(object);
	free(bytes);
}

static void damaged_object_is_refused(void **state)
{
	struct lazymem_backing *object;
	struct draft draft;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	draft.sections[LM_SECTION_CHUNKS][12] = 77;
	object = write_object(&draft, 0);
	assert_refused(&object, 1, -EBADMSG, "77");
	lazymem_backing_unref(object);
}

static void object_that_cannot_be_read_is_refused(void **state)
{
	struct lazymem_backing *object = object_of(1, 0);
	const uint64_t length = lazymem_backing_length(object);
	const struct lazymem_inject_range header = {.start = 0, .length = PAGE};
	const struct lazymem_inject_range end = {.start = length - PAGE, .length = PAGE};
	struct lazymem_backing *failing;

	(void)state;
	assert_int_equal(lazymem_inject_fail(object, header, -EIO, UINT64_MAX, &failing), 0);
	assert_refused(&failing, 1, -EIO, "reading 4096 bytes at 0");
	lazymem_backing_unref(failing);
	assert_int_equal(lazymem_inject_fail(object, end, -ENOTCONN, UINT64_MAX, &failing), 0);
	assert_refused(&failing, 1, -ENOTCONN, "reading");
	lazymem_backing_unref(failing);
	lazymem_backing_unref(object);
}

static void page_that_is_damaged_later_is_not_delivered(void **state)
{
	struct lazymem_backing *object;
	struct lazymem_snapshot *snapshot;
	unsigned char *bytes = calloc(1, PAGES * PAGE);
	struct draft draft;
	uint32_t wrong;

	(void)state;
	draft_begin(&draft, memory, 1, 0, NULL);
	while (draft.layer.sum_count == 0) { /* nothing but zeros, by chance */
		draft_write(&draft, path_of("file"));
		draft_begin(&draft, memory, 1, 0, NULL);
	}
	memcpy(&wrong, draft.sections[LM_SECTION_CHECKSUMS], sizeof(wrong));
	wrong ^= 1;
	memcpy(draft.sections[LM_SECTION_CHECKSUMS], &wrong, sizeof(wrong));
	object = write_object(&draft, 0);
	snapshot = open_objects(&object, 1);
	assert_int_equal(
		lazymem_backing_read(lazymem_snapshot_backing(snapshot), 0, bytes, PAGES * PAGE),
		-EBADMSG);
	lazymem_snapshot_unref(snapshot);
	lazymem_backing_unref(object);
	free(bytes);
}

/* A server that has only said that it has much. */
struct hollow {
	struct lazymem_backing *object; /* what is there; behind it zeros */
	uint64_t asked;                 /* bytes */
};

static void read_hollow(void *argument, struct lazymem_read *read)
{
	struct hollow *hollow = argument;
	const uint64_t end = lazymem_backing_length(hollow->object);
	int error = 0;

	hollow->asked += read->length;
	memset(read->buffer, 0, read->length);
	if (read->offset < end) {
		const size_t there = (size_t)(end - read->offset);

		error = lazymem_backing_read(hollow->object, read->offset, read->buffer,
					     there < read->length ? there : read->length);
	}
	lazymem_read_complete(read, error);
}

static void section_of_zeros_is_not_read_to_its_end(void **state)
{
	static const struct lazymem_backing_operations operations = {.size = sizeof(operations),
								     .read = read_hollow};
	const uint64_t length = UINT64_C(200) << 20;
	unsigned char bytes[LM_SNAPSHOT_HEADER_SIZE];
	struct lm_snapshot_header header;
	struct lazymem_backing *object = object_of(1, 0), *writable;
	unsigned char *changed = malloc(lazymem_backing_length(object));
	struct hollow hollow = {0};

	(void)state;
	assert_int_equal(lazymem_backing_read(object, 0, changed, lazymem_backing_length(object)),
			 0);
	assert_int_equal(lm_snapshot_parse_header(changed, lazymem_backing_length(object), &header),
			 0);
	header.sections[LM_SECTION_TRACE] = (struct lm_section){
		.present = true, .offset = header.file_length, .length = length};
	header.file_length += length;
	lm_snapshot_put_header(&header, bytes);
	memcpy(changed, bytes, sizeof(bytes));
	assert_int_equal(lazymem_bytes_create(changed, lazymem_backing_length(object), NULL, NULL,
					      &hollow.object),
			 0);
	assert_int_equal(lazymem_backing_create(&operations, &hollow, header.file_length, "hollow",
						&writable),
			 0);
	assert_refused(&writable, 1, -EBADMSG, "hollow: 4194304 bytes of zeros at");
	assert_true(hollow.asked < length / 4);
	lazymem_backing_unref(writable);
	lazymem_backing_unref(hollow.object);
	lazymem_backing_unref(object);
	free(changed);
}

/* ---- layers ----------------------------------------------------------------- */

/* Files 1 to 3, the topmost first. */
static void make_layers(struct lazymem_backing **files)
{
	files[2] = object_of(1, 0);
	files[1] = object_of(2, 1);
	files[0] = object_of(3, 2);
}

static void layers_are_restored(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct lazymem_backing *files[3];
		struct lazymem_snapshot *snapshot;

		make_layers(files);
		snapshot = open_objects(files, 3);
		assert_int_equal(lazymem_snapshot_layer_count(snapshot), 3);
		assert_holds_memory(snapshot);
		lazymem_snapshot_unref(snapshot);
		drop(files, 3);
	}
}

static void parents_in_another_order_are_refused(void **state)
{
	struct lazymem_backing *files[3], *others[3];

	(void)state;
	make_layers(files);
	others[0] = files[0];
	others[1] = files[2];
	others[2] = files[1];
	assert_refused(others, 3, -ESTALE, "not the parent that");
	others[0] = files[1];
	others[1] = files[0];
	assert_refused(others, 2, -ESTALE, "not the parent that");
	drop(files, 3);
}

static void object_that_is_given_twice_is_refused(void **state)
{
	struct lazymem_backing *files[3], *others[3];

	(void)state;
	make_layers(files);
	others[0] = files[0];
	others[1] = files[0];
	others[2] = files[1];
	assert_refused(others, 3, -ELOOP, "ancestor of itself");
	others[1] = files[1];
	others[2] = files[0];
	assert_refused(others, 3, -ELOOP, "ancestor of itself");
	drop(files, 3);
}

static void parent_that_is_not_given_is_named(void **state)
{
	struct lazymem_backing *files[3];

	(void)state;
	make_layers(files);
	assert_refused(files, 1, -ENOENT, "/nowhere/at/all");
	assert_refused(files, 2, -ENOENT, "is not given");
	drop(files, 3);
}

static void object_that_is_no_layer_is_refused(void **state)
{
	struct lazymem_backing *files[4];

	(void)state;
	make_layers(files);
	files[3] = object_of(4, 0);
	assert_refused(files, 4, -EINVAL, "which has none");
	drop(files, 4);
}

static void wrong_arguments_are_refused(void **state)
{
	struct lazymem_backing *files[2] = {object_of(1, 0), NULL};

	(void)state;
	assert_refused(NULL, 1, -EINVAL, "no object");
	assert_refused(files, 0, -EINVAL, "no object");
	assert_refused(files, 2, -EINVAL, "no object 1");
	lazymem_backing_unref(files[0]);
}

/* ---- references ------------------------------------------------------------- */

static void objects_live_as_long_as_the_memory_is_read(void **state)
{
	struct lazymem_backing *files[3], *backing;
	struct lazymem_snapshot *snapshot;
	unsigned char byte;

	(void)state;
	make_layers(files);
	snapshot = open_objects(files, 3);
	drop(files, 3);
	assert_int_equal(released, 0);
	assert_holds_memory(snapshot);
	backing = lazymem_backing_ref(lazymem_snapshot_backing(snapshot));
	lazymem_snapshot_unref(snapshot);
	assert_int_equal(released, 0);
	assert_int_equal(lazymem_backing_read(backing, 5, &byte, 1), 0);
	assert_int_equal(byte, memory[5]);
	lazymem_backing_unref(backing);
	assert_int_equal(released, 3);
}

static void opening_keeps_no_object_when_memory_is_short(void **state)
{
	struct lazymem_backing *files[3];
	struct lazymem_snapshot *snapshot;
	unsigned refused = 0;
	int error = -ENOMEM;

	(void)state;
	make_layers(files);
	for (int left = 0; allocations_left < 0; left++) {
		allocations_left = left;
		error = lazymem_snapshot_open_objects(files, 3, &snapshot);
		if (error == 0)
			lazymem_snapshot_unref(snapshot);
		else
			assert_int_equal(error, -ENOMEM);
		refused += error != 0;
	}
	allocations_left = -1;
	assert_int_equal(error, 0);
	assert_true(refused > 10);
	drop(files, 3);
	assert_int_equal(released, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(object_is_restored),
		TEST(blobs_and_trace_come_from_the_object),
		TEST(object_may_be_longer_than_the_file),
		TEST(object_that_is_cut_off_is_refused),
		TEST(damaged_object_is_refused),
		TEST(object_that_cannot_be_read_is_refused),
		TEST(page_that_is_damaged_later_is_not_delivered),
		TEST(section_of_zeros_is_not_read_to_its_end),
		TEST(layers_are_restored),
		TEST(parents_in_another_order_are_refused),
		TEST(object_that_is_given_twice_is_refused),
		TEST(parent_that_is_not_given_is_named),
		TEST(object_that_is_no_layer_is_refused),
		TEST(wrong_arguments_are_refused),
		TEST(objects_live_as_long_as_the_memory_is_read),
		TEST(opening_keeps_no_object_when_memory_is_short),
	};

	seed_random();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
