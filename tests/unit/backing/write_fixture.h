/* SPDX-License-Identifier: MIT
 *
 * write_fixture.h - a memory made of letters, as a backing object that knows
 * its holes, and snapshots of it in a directory of its own.
 */
#ifndef WRITE_FIXTURE_H
#define WRITE_FIXTURE_H

#include "sample.h"

#include <errno.h>
#include <lazymem/snapshot_write.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)

static inline void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

/* ---- a memory: one letter a page ----------------------------------------- */

/* d: data, which can be compressed; r: data at random; p: the same, but for a
 * sixteenth of it; z: zero bytes; h: a hole, which must not be read. Capitals
 * are the same with other bytes. */
struct memory {
	const char *letters; /* repeated up to the length */
	uint64_t length;     /* bytes */
	uint64_t bytes_read;
	struct lazymem_backing *backing;
};

static inline char letter_of(const struct memory *memory, uint64_t page)
{
	return memory->letters[page % strlen(memory->letters)];
}

static inline void fill_page(const struct memory *memory, uint64_t page, unsigned char *bytes)
{
	const char letter = letter_of(memory, page);
	uint64_t seed = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) + (letter < 'a');

	memset(bytes, 0, PAGE);
	if (strchr("zhZH", letter) != NULL)
		return;
	for (size_t i = 0; i < PAGE; i += 8) {
		if (strchr("rRp", letter) != NULL && !(letter == 'p' && i < PAGE / 16)) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
		}
		memcpy(bytes + i, &seed, 8);
	}
}

static inline void memory_read(void *object, struct lazymem_read *read)
{
	struct memory *memory = object;
	unsigned char *to = read->buffer;
	unsigned char page[4096];

	for (size_t done = 0; done < read->length;) {
		const uint64_t offset = read->offset + done;
		const size_t skip = offset % PAGE;
		size_t part = PAGE - skip;

		assert_int_not_equal(letter_of(memory, offset / PAGE), 'h');
		fill_page(memory, offset / PAGE, page);
		if (part > read->length - done)
			part = read->length - done;
		memcpy(to + done, page + skip, part);
		done += part;
	}
	memory->bytes_read += read->length;
	lazymem_read_complete(read, 0);
}

static inline int memory_extent(void *object, uint64_t offset, uint64_t length,
				struct lazymem_extent *ret_extent)
{
	const struct memory *memory = object;
	const bool is_hole = letter_of(memory, offset / PAGE) == 'h';
	uint64_t end = (offset / PAGE + 1) * PAGE;

	/* letters of one kind all over are one extent, however long */
	if (strlen(memory->letters) == 1)
		end = offset + length;
	while (end < offset + length && (letter_of(memory, end / PAGE) == 'h') == is_hole)
		end += PAGE;
	*ret_extent = (struct lazymem_extent){offset, end < offset + length ? end - offset : length,
					      is_hole ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA};
	return 0;
}

static inline void make_memory(struct memory *memory, const char *letters, uint64_t length)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = memory_read,
		.extent = memory_extent,
	};

	*memory = (struct memory){.letters = letters, .length = length};
	assert_int_equal(
		lazymem_backing_create(&operations, memory, length, "memory", &memory->backing), 0);
}

/* ---- files --------------------------------------------------------------- */

static char *directory;

static inline char *path_of(const char *name)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", directory, name) < 0)
		abort();
	return joined;
}

static inline int make_directory(void **state)
{
	(void)state;
	directory = sample_make_directory();
	return 0;
}

static inline int remove_directory(void **state)
{
	(void)state;
	sample_remove_directory(directory);
	return 0;
}

/* All files of the directory, hidden ones too. */
static inline size_t files_in_directory(void)
{
	DIR *stream = opendir(directory);
	size_t count = 0;

	assert_non_null(stream);
	while (readdir(stream) != NULL)
		count++;
	closedir(stream);
	return count - 2; /* "." and ".." */
}

/* The bytes of a file, for the caller to free. */
static inline unsigned char *read_file(const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "re");
	unsigned char *bytes;
	long length;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	length = ftell(file);
	rewind(file);
	bytes = malloc((size_t)length + 1);
	assert_non_null(bytes);
	assert_int_equal(fread(bytes, 1, (size_t)length, file), length);
	fclose(file);
	*ret_length = (size_t)length;
	return bytes;
}

/* ---- snapshots ----------------------------------------------------------- */

static inline struct lazymem_identity identity_of(unsigned char number)
{
	struct lazymem_identity identity;

	memset(identity.bytes, number, sizeof(identity.bytes));
	return identity;
}

static inline struct lazymem_snapshot_plan plan_of(struct lazymem_backing *source)
{
	return (struct lazymem_snapshot_plan){.size = sizeof(struct lazymem_snapshot_plan),
					      .source = source};
}

/* Write; a failure is the test's, with what the library says. */
static inline void write_snapshot(const char *path, const struct lazymem_snapshot_plan *plan)
{
	if (lazymem_snapshot_write(path, plan) != 0)
		fail_msg("%s", lazymem_error_message());
}

static inline struct lazymem_snapshot *open_snapshot(const char *path)
{
	struct lazymem_snapshot *snapshot = NULL;

	if (lazymem_snapshot_open(path, NULL, &snapshot) != 0)
		fail_msg("%s", lazymem_error_message());
	return snapshot;
}

/* The file opens, every checksum is right, and it holds what the memory does. */
static inline void assert_holds(const char *path, const struct memory *memory)
{
	struct lazymem_snapshot *snapshot = open_snapshot(path);
	struct lazymem_backing *backing = lazymem_snapshot_backing(snapshot);
	unsigned char expected[4096], page[4096];

	assert_int_equal(lazymem_backing_length(backing), memory->length);
	if (lazymem_snapshot_verify(snapshot, NULL) != 0)
		fail_msg("%s", lazymem_error_message());
	for (uint64_t offset = 0; offset < memory->length; offset += PAGE) {
		if (lazymem_backing_read(backing, offset, page, PAGE) != 0)
			fail_msg("%s", lazymem_error_message());
		fill_page(memory, offset / PAGE, expected);
		if (memory->length - offset < PAGE)
			memset(expected + (memory->length - offset), 0,
			       PAGE - (memory->length - offset));
		assert_memory_equal(page, expected, PAGE);
	}
	lazymem_snapshot_unref(snapshot);
}

/* What the file itself holds. */
static inline struct lazymem_snapshot_layer layer_of(const char *path)
{
	struct lazymem_snapshot *snapshot = open_snapshot(path);
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	assert_int_equal(lazymem_snapshot_layer_at(snapshot, 0, &layer), 0);
	layer.path = layer.parent_path = NULL; /* gone with the snapshot */
	lazymem_snapshot_unref(snapshot);
	return layer;
}

#endif
