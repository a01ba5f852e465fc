/* SPDX-License-Identifier: MIT
 *
 * snapshot_file.c - libFuzzer harness for whole snapshots, through the public
 * interface: the input becomes files in memory, which are opened, read and
 * verified.
 *
 * What opens obeys the manual. A page is delivered when its checksum is that of
 * the file, and then as it is; for raw pages that is known beforehand, for
 * compressed ones it is not. Reads of many pages, of parts of pages and of
 * several parts give what the pages gave one by one. The memory may be claimed
 * to be as long as 2^56 bytes: what is zero is passed over, and what is stored
 * is read up to a limit.
 */
#include "core/crc32c.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/snapshot_bytes.h"
#include "tests/fuzz/snapshot_rules.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/snapshot.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW_PAGES ((size_t)64)
#define MOST_WINDOWS 6
#define MOST_EXTENTS 4096
#define MOST_PARTS 6

struct input {
	const uint8_t *files[MOST_FILES];
	size_t sizes[MOST_FILES];
	size_t count;
	uint32_t random;
	uint64_t failed_pages;
	uint64_t failed_blobs;
	bool is_read; /* every page, once */
};

static uint32_t next_random(struct input *input)
{
	input->random = input->random * 1664525u + 1013904223u;
	return input->random >> 8;
}

/* ---- files in memory -------------------------------------------------------- */

static char paths[MOST_FILES][32];

/* The same files for each input: they are cheap to write again. */
static int file_in_memory(size_t index)
{
	static int fds[MOST_FILES];

	if (paths[index][0] == '\0') {
		fds[index] = memfd_create("snapshot", MFD_CLOEXEC);
		REQUIRE(fds[index] >= 0);
		snprintf(paths[index], sizeof(paths[index]), "/proc/self/fd/%d", fds[index]);
	}
	return fds[index];
}

static void write_files(struct input *input, const uint8_t *bytes, size_t size)
{
	do {
		const bool is_last = input->count == MOST_FILES - 1;
		const size_t length = is_last ? size : first_file(bytes, size);
		const int fd = file_in_memory(input->count);

		REQUIRE(ftruncate(fd, (off_t)length) == 0);
		REQUIRE(pwrite(fd, bytes, length, 0) == (ssize_t)length);
		input->files[input->count] = bytes;
		input->sizes[input->count] = length;
		input->count++;
		bytes += length;
		size -= length;
	} while (size > 0);
}

/* Every parent is given, the last one again and again, so that no path in the
 * input is ever opened. */
static int open_input(const struct input *input, struct lazymem_snapshot **ret_snapshot)
{
	const char *parents[MOST_FILES + 1];
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options),
		.parents = parents,
		.parent_count = MOST_FILES + 1,
	};

	for (size_t i = 0; i < options.parent_count; i++)
		parents[i] = paths[lm_min(i + 1, input->count - 1)];
	return lazymem_snapshot_open(paths[0], &options, ret_snapshot);
}

/* ---- what a page must be ------------------------------------------------------ */

/* The chunk that has the page, in the topmost file that does not leave it to its
 * parent; returns which file that is. */
static size_t find_page(const struct input *input, uint64_t page, struct chunk_fields *ret_chunk)
{
	for (size_t i = 0; i < input->count; i++) {
		size_t offset, length;

		REQUIRE(find_section(input->files[i], input->sizes[i], CHUNKS, &offset, &length));
		for (size_t at = 0; at < length; at += CHUNK_SIZE) {
			*ret_chunk = get_chunk(input->files[i] + offset + at);
			if (page - ret_chunk->page < ret_chunk->count)
				break;
		}
		REQUIRE(page - ret_chunk->page < ret_chunk->count);
		if (ret_chunk->kind != KIND_PARENT)
			return i;
	}
	fprintf(stderr, "page %" PRIu64 " is in no file\n", page);
	abort();
}

static uint32_t sum_of(const struct input *input, size_t file, const struct chunk_fields *chunk,
		       uint64_t page)
{
	size_t offset, length;

	REQUIRE(find_section(input->files[file], input->sizes[file], CHECKSUMS, &offset, &length));
	return lm_get_u32(input->files[file] + offset +
			  (chunk->checksum + (page - chunk->page)) * 4);
}

/* A read of the page gave `bytes`, or `error`. */
static void require_page(const struct input *input, uint64_t page, int error, const uint8_t *bytes,
			 size_t length)
{
	static const uint8_t zeros[PAGE];
	struct chunk_fields chunk;
	const size_t file = find_page(input, page, &chunk);
	uint32_t sum;

	if (chunk.kind == KIND_ZERO) {
		REQUIRE(error == 0 && memcmp(bytes, zeros, length) == 0);
		return;
	}
	REQUIRE(error == 0 || error == -EBADMSG);
	sum = sum_of(input, file, &chunk, page);
	if (chunk.kind == KIND_RAW) {
		const uint8_t *raw =
			input->files[file] + chunk.position + (page - chunk.page) * PAGE;

		REQUIRE((lm_crc32c(0, raw, PAGE) == sum) == (error == 0));
		REQUIRE(error != 0 || memcmp(raw, bytes, length) == 0);
	} else if (error == 0 && length == PAGE) {
		REQUIRE(lm_crc32c(0, bytes, PAGE) == sum);
	}
}

/* ---- reads --------------------------------------------------------------------- */

/* A stretch of the memory, read page by page. */
struct window {
	uint64_t start;
	size_t length;
	bool failed[WINDOW_PAGES];
	uint8_t bytes[WINDOW_PAGES * PAGE];
};

static bool some_failed(const struct window *window, size_t offset, size_t length)
{
	for (size_t page = offset / PAGE; page <= (offset + length - 1) / PAGE; page++)
		if (window->failed[page])
			return true;
	return false;
}

static void fill_window(struct input *input, struct lazymem_backing *memory, struct window *window)
{
	for (size_t at = 0; at < window->length; at += PAGE) {
		const size_t length = lm_min(PAGE, window->length - at);
		const int error = lazymem_backing_read(memory, window->start + at,
						       window->bytes + at, length);

		require_page(input, (window->start + at) / PAGE, error, window->bytes + at, length);
		window->failed[at / PAGE] = error != 0;
		input->failed_pages += error != 0;
	}
}

static void read_range(struct lazymem_backing *memory, const struct window *window, size_t offset,
		       size_t length)
{
	uint8_t *bytes = malloc(length);
	int error;

	REQUIRE(bytes != NULL);
	error = lazymem_backing_read(memory, window->start + offset, bytes, length);
	REQUIRE((error != 0) == some_failed(window, offset, length));
	REQUIRE(error != 0 || memcmp(bytes, window->bytes + offset, length) == 0);
	free(bytes);
}

struct completion {
	unsigned count;
	int error;
};

static void completed(struct lazymem_read *read, int error)
{
	struct completion *completion = read->context;

	completion->count++;
	completion->error = error;
}

static void choose_range(struct input *input, const struct window *window, size_t *ret_offset,
			 size_t *ret_length)
{
	*ret_offset = next_random(input) % window->length;
	*ret_length = 1 + next_random(input) % (window->length - *ret_offset);
	if (next_random(input) % 2 == 0 && window->length >= PAGE) {
		*ret_offset = next_random(input) % (window->length / PAGE) * PAGE;
		*ret_length = PAGE;
	}
}

static void read_parts(struct input *input, struct lazymem_backing *memory,
		       const struct window *window)
{
	struct lazymem_read_part parts[MOST_PARTS];
	struct completion completion = {0};
	struct lazymem_read read = {
		.complete = completed,
		.context = &completion,
		.parts = parts,
		.part_count = 1 + next_random(input) % MOST_PARTS,
	};
	bool must_fail = false;
	size_t at = 0;

	for (size_t i = 0; i < read.part_count; i++) {
		size_t offset;

		choose_range(input, window, &offset, &parts[i].length);
		parts[i].offset = window->start + offset;
		read.length += parts[i].length;
		must_fail |= some_failed(window, offset, parts[i].length);
	}
	read.buffer = malloc(read.length);
	REQUIRE(read.buffer != NULL);
	lazymem_backing_submit(memory, &read);
	REQUIRE(completion.count == 1);
	REQUIRE((completion.error != 0) == must_fail);
	for (size_t i = 0; completion.error == 0 && i < read.part_count; i++) {
		REQUIRE(memcmp((uint8_t *)read.buffer + at,
			       window->bytes + (parts[i].offset - window->start),
			       parts[i].length) == 0);
		at += parts[i].length;
	}
	free(read.buffer);
}

static void read_window(struct input *input, struct lazymem_backing *memory, uint64_t start,
			uint64_t length)
{
	static struct window window;
	size_t offset, part;

	window.start = start;
	window.length = (size_t)lm_min(length, sizeof(window.bytes));
	lazymem_backing_readahead(memory, window.start, window.length);
	fill_window(input, memory, &window);
	read_range(memory, &window, 0, window.length);
	choose_range(input, &window, &offset, &part);
	read_range(memory, &window, offset, part);
	read_parts(input, memory, &window);
}

/* Zeros are passed over, but for the first and the last page of them. */
static void require_zeros(const struct input *input, const struct lazymem_extent *extent)
{
	struct chunk_fields chunk;

	find_page(input, extent->start / PAGE, &chunk);
	REQUIRE(chunk.kind == KIND_ZERO);
	find_page(input, (extent->start + extent->length - 1) / PAGE, &chunk);
	REQUIRE(chunk.kind == KIND_ZERO);
}

static void read_memory(struct input *input, struct lazymem_backing *memory)
{
	const uint64_t length = lazymem_backing_length(memory);
	const uint64_t last = lm_align_down(length - 1, PAGE);
	unsigned windows = 0, extents = 0;
	uint64_t at = 0;

	for (; at < length && windows < MOST_WINDOWS && extents < MOST_EXTENTS; extents++) {
		struct lazymem_extent extent;

		REQUIRE(lazymem_backing_extent(memory, at, length - at, &extent) == 0);
		REQUIRE(extent.start == at && extent.length > 0 && extent.length <= length - at);
		if (extent.kind == LAZYMEM_EXTENT_ZERO) {
			require_zeros(input, &extent);
			at += extent.length;
			continue;
		}
		/* what a window leaves of a long extent is the next one's, but for zeros */
		read_window(input, memory, at, lm_min(length - at, WINDOW_PAGES * PAGE));
		windows++;
		at += lm_min(length - at, WINDOW_PAGES * PAGE);
	}
	input->is_read = at == length;
	if (!input->is_read)
		read_window(input, memory, last, length - last);
}

/* ---- the rest ------------------------------------------------------------------- */

static void read_blobs(struct input *input, const struct lazymem_snapshot *snapshot)
{
	const uint8_t *file = input->files[0];
	size_t offset = 0, length = 0;

	if (section_entry(file, BLOBS) != NULL)
		REQUIRE(find_section(file, input->sizes[0], BLOBS, &offset, &length));
	REQUIRE(lazymem_snapshot_blob_count(snapshot) == length / BLOB_SIZE);
	for (size_t i = 0; i < length / BLOB_SIZE && i < 16; i++) {
		const uint8_t *entry = file + offset + i * BLOB_SIZE;
		const uint64_t size = lm_get_u64(entry + 8);
		const uint32_t sum = lm_crc32c(0, file + lm_get_u64(entry), size);
		void *bytes;
		size_t got;
		const int error = lazymem_snapshot_blob(
			snapshot, lazymem_snapshot_blob_name(snapshot, i), &bytes, &got);

		REQUIRE(lazymem_snapshot_blob_length(snapshot, i) == size);
		REQUIRE(error == 0 || error == -EBADMSG);
		REQUIRE((sum == lm_get_u32(entry + 16)) == (error == 0));
		input->failed_blobs += error != 0;
		if (error != 0)
			continue;
		REQUIRE(got == size && memcmp(bytes, file + lm_get_u64(entry), size) == 0);
		free(bytes);
	}
}

static void require_layers(const struct input *input, const struct lazymem_snapshot *snapshot)
{
	REQUIRE(lazymem_snapshot_layer_count(snapshot) <= input->count);
	for (size_t i = 0; i < lazymem_snapshot_layer_count(snapshot); i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		uint64_t pages = 0;

		require_snapshot(input->files[i], input->sizes[i]);
		REQUIRE(lazymem_snapshot_layer_at(snapshot, i, &layer) == 0);
		REQUIRE(memcmp(&layer.identity, input->files[i] + IDENTITY_AT, IDENTITY_SIZE) == 0);
		REQUIRE(memcmp(&layer.parent, input->files[i] + PARENT_AT, IDENTITY_SIZE) == 0);
		REQUIRE(layer.file_length == input->sizes[i]);
		for (size_t kind = 0; kind < LAZYMEM_CHUNK_KINDS; kind++)
			pages += layer.pages[kind];
		REQUIRE(pages ==
			(lm_get_u64(input->files[0] + MEMORY_LENGTH_AT) + PAGE - 1) / PAGE);
	}
}

static void require_regions_alike(const struct input *input,
				  const struct lazymem_snapshot *snapshot)
{
	size_t offset, length;

	REQUIRE(find_section(input->files[0], input->sizes[0], REGIONS, &offset, &length));
	REQUIRE(lazymem_snapshot_region_count(snapshot) == length / REGION_SIZE);
	for (size_t i = 0; i < length / REGION_SIZE; i++) {
		const struct lazymem_snapshot_region region =
			lazymem_snapshot_region_at(snapshot, i);
		const uint8_t *bytes = input->files[0] + offset + i * REGION_SIZE;

		REQUIRE(region.base.value == lm_get_u64(bytes));
		REQUIRE(region.length == lm_get_u64(bytes + 8));
	}
}

static void require_identities(const struct input *input, const struct lazymem_snapshot *snapshot)
{
	const struct lazymem_trace *trace = lazymem_snapshot_trace(snapshot);
	struct lazymem_identity identity;

	REQUIRE(lazymem_backing_identity(lazymem_snapshot_backing(snapshot), &identity) == 0);
	REQUIRE(memcmp(&identity, input->files[0] + IDENTITY_AT, IDENTITY_SIZE) == 0);
	REQUIRE((trace != NULL) == (section_entry(input->files[0], TRACE) != NULL));
	if (trace == NULL)
		return;
	identity = lazymem_trace_identity(trace);
	REQUIRE(memcmp(&identity, input->files[0] + IDENTITY_AT, IDENTITY_SIZE) == 0);
}

struct damages {
	uint64_t pages;
	uint64_t blobs;
};

static void count_damage(void *context, const struct lazymem_snapshot_damage *damage)
{
	struct damages *damages = context;

	REQUIRE(damage->error == -EBADMSG);
	if (damage->blob != NULL) {
		damages->blobs++;
		return;
	}
	REQUIRE(damage->length > 0 && damage->length % PAGE == 0);
	damages->pages += damage->length / PAGE;
}

/* Looks at all that is stored; where there are layers that is more than can be
 * read, and where there is much of it more than was read. */
static void verify(const struct input *input, const struct lazymem_snapshot *snapshot)
{
	struct damages damages = {0};
	const struct lazymem_snapshot_verify_options options = {
		.size = sizeof(options),
		.threads = 1,
		.damage = count_damage,
		.context = &damages,
	};
	const int error = lazymem_snapshot_verify(snapshot, &options);

	REQUIRE(error == (damages.pages + damages.blobs != 0 ? -EBADMSG : 0));
	REQUIRE(damages.blobs >= input->failed_blobs);
	REQUIRE(error != 0 || input->failed_pages == 0);
	if (input->is_read && lazymem_snapshot_layer_count(snapshot) == 1)
		REQUIRE(damages.pages == input->failed_pages);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input input = {.random = lm_crc32c(0, bytes, size)};
	struct lazymem_snapshot *snapshot = NULL;
	int error;

	write_files(&input, bytes, size);
	error = open_input(&input, &snapshot);
	if (error != 0) {
		REQUIRE(snapshot == NULL && lazymem_error_message()[0] != '\0');
		REQUIRE(error == -EBADMSG || error == -EPROTONOSUPPORT || error == -ESTALE ||
			error == -ELOOP);
		return 0;
	}
	require_layers(&input, snapshot);
	require_regions_alike(&input, snapshot);
	require_identities(&input, snapshot);
	read_blobs(&input, snapshot);
	read_memory(&input, lazymem_snapshot_backing(snapshot));
	if (next_random(&input) % 4 == 0)
		verify(&input, snapshot);
	lazymem_snapshot_unref(snapshot);
	return 0;
}
