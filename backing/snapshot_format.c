/* SPDX-License-Identifier: MIT
 *
 * snapshot_format.c - the sections of a snapshot: regions, chunks, checksums,
 * the parent's path and the directory of blobs.
 *
 * The header was parsed before: a section has a length that its type may have
 * and lies inside the file, and its checksum was compared by whoever read it.
 * A checksum says that the bytes are those that somebody wrote, not that he
 * meant well, so each entry is still held against every rule of the format.
 *
 * There may be a million chunks, so they are parsed where they lie: on a
 * little-endian machine that writes nothing, and each is looked at once.
 */
#include "backing/snapshot_format.h"

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/little_endian.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

int lm_snapshot_check_section(const struct lm_snapshot_header *header, enum lm_section_type type,
			      const void *bytes)
{
	const struct lm_section *section = &header->sections[type];
	const uint32_t sum = lm_crc32c(0, bytes, section->length);

	if (sum == section->checksum)
		return 0;
	return lm_error(-EBADMSG,
			"section %s: checksum 0x%08" PRIx32
			" does not match its bytes, 0x%08" PRIx32,
			lm_section_name(type), section->checksum, sum);
}

/* ---- regions ------------------------------------------------------------- */

#define REGION "region %zu [0x%" PRIx64 "+0x%" PRIx64 "]"
#define REGION_IS(index, region) (index), (region)->base.value, (region)->length

static int check_region(int error, const struct lazymem_snapshot_region *region, size_t index)
{
	uint64_t last;

	if (!lm_is_aligned(region->base.value, LM_SNAPSHOT_PAGE) ||
	    !lm_is_aligned(region->length, LM_SNAPSHOT_PAGE))
		return lm_error(error, REGION " is not in whole pages", REGION_IS(index, region));
	if (region->length == 0)
		return lm_error(error, REGION " is empty", REGION_IS(index, region));
	if (!lm_add(region->base.value, region->length - 1, &last))
		return lm_error(error, REGION " goes past the end of the guest's address space",
				REGION_IS(index, region));
	return 0;
}

static int by_base(const void *a, const void *b)
{
	const struct lazymem_snapshot_region *const *left = a, *const *right = b;

	return lazymem_guest_address_compare((*left)->base, (*right)->base);
}

/* Each one is right for itself. */
static int check_overlaps(int error, const struct lazymem_snapshot_region *regions, size_t count)
{
	const struct lazymem_snapshot_region **sorted = calloc(count, sizeof(*sorted));
	int result = 0;

	if (sorted == NULL)
		return lm_error(-ENOMEM, "no memory to sort %zu regions", count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = &regions[i];
	qsort(sorted, count, sizeof(*sorted), by_base);
	for (size_t i = 1; i < count && result == 0; i++) {
		const struct lazymem_snapshot_region *before = sorted[i - 1], *next = sorted[i];

		if (next->base.value - before->base.value < before->length)
			result = lm_error(error, REGION " overlaps " REGION,
					  REGION_IS((size_t)(next - regions), next),
					  REGION_IS((size_t)(before - regions), before));
	}
	free(sorted);
	return result;
}

int lm_snapshot_check_regions(int error, const struct lazymem_snapshot_region *regions,
			      size_t count, uint64_t memory_length)
{
	const uint64_t pages = lm_snapshot_pages(memory_length);
	uint64_t total = 0; /* pages; where it wraps, there are regions that overlap */

	for (size_t i = 0; i < count; i++) {
		const int result = check_region(error, &regions[i], i);

		if (result != 0)
			return result;
		total += regions[i].length / LM_SNAPSHOT_PAGE;
	}
	if (total != pages)
		return lm_error(error,
				"the regions are %" PRIu64 " pages long, the memory has %" PRIu64,
				total, pages);
	return check_overlaps(error, regions, count);
}

int lm_snapshot_parse_regions(const struct lm_snapshot_header *header, const void *bytes,
			      struct lazymem_snapshot_region **ret_regions, size_t *ret_count)
{
	const unsigned char *from = bytes;
	const size_t count = header->sections[LM_SECTION_REGIONS].length / LM_REGION_BYTES;
	struct lazymem_snapshot_region *regions = calloc(count, sizeof(*regions));
	uint64_t offset = 0;
	int error;

	if (regions == NULL)
		return lm_error(-ENOMEM, "no memory for %zu regions", count);
	for (size_t i = 0; i < count; i++, from += LM_REGION_BYTES) {
		regions[i].base.value = lm_get_u64(from);
		regions[i].length = lm_get_u64(from + 8);
		regions[i].offset = offset;
		offset += regions[i].length; /* wraps only where the check below refuses */
	}
	error = lm_snapshot_check_regions(-EBADMSG, regions, count, header->memory_length);
	if (error != 0) {
		free(regions);
		return error;
	}
	*ret_regions = regions;
	*ret_count = count;
	return 0;
}

void lm_snapshot_put_region(const struct lazymem_snapshot_region *region, void *bytes)
{
	unsigned char *to = bytes;

	lm_put_u64(to, region->base.value);
	lm_put_u64(to + 8, region->length);
}

/* ---- chunks -------------------------------------------------------------- */

#define CHUNK "chunk %zu (page %" PRIu64 "): "

static int wrong_chunk(size_t index, const struct lm_chunk *chunk, const char *what)
{
	return lm_error(-EBADMSG, CHUNK "%s", index, chunk->page, what);
}

/* Between the order of bytes of the file and that of this machine, either way. */
static void swap_chunk(struct lm_chunk *chunk)
{
	chunk->page = le64toh(chunk->page);
	chunk->count = le32toh(chunk->count);
	chunk->position = le64toh(chunk->position);
	chunk->stored = le32toh(chunk->stored);
	chunk->checksum = le32toh(chunk->checksum);
}

/* Zero, or the parent's. */
static int check_absent(const struct lm_chunk *chunk, size_t index)
{
	if (chunk->position != 0 || chunk->stored != 0 || chunk->checksum != 0)
		return wrong_chunk(index, chunk,
				   "nothing of it is stored, and it says where that is");
	return 0;
}

/* What is stored lies inside the file, and has checksums. */
static int check_place(const struct lm_snapshot_header *header, const struct lm_chunk *chunk,
		       size_t index, uint64_t stored)
{
	const uint64_t checksums = header->sections[LM_SECTION_CHECKSUMS].length / sizeof(uint32_t);

	if (chunk->position < LM_SNAPSHOT_HEADER_SIZE)
		return wrong_chunk(index, chunk, "it is stored in the header");
	if (!lm_fits(chunk->position, stored, header->file_length))
		return wrong_chunk(index, chunk, "it is stored past the end of the file");
	if (!lm_fits(chunk->checksum, chunk->count, checksums))
		return wrong_chunk(index, chunk, "its checksums are past the last one");
	return 0;
}

static int check_raw(const struct lm_snapshot_header *header, const struct lm_chunk *chunk,
		     size_t index)
{
	if (!lm_is_aligned(chunk->position, LM_SNAPSHOT_PAGE))
		return wrong_chunk(index, chunk, "it is raw, and not stored at a page");
	if (chunk->stored != 0)
		return wrong_chunk(index, chunk,
				   "it is raw, and has the length of a compressed one");
	return check_place(header, chunk, index, chunk->count * (uint64_t)LM_SNAPSHOT_PAGE);
}

static int check_compressed(const struct lm_snapshot_header *header, const struct lm_chunk *chunk,
			    size_t index)
{
	if (chunk->count > LM_CHUNK_PAGES)
		return wrong_chunk(index, chunk, "it is compressed, and has more than 64 pages");
	if (chunk->stored == 0)
		return wrong_chunk(index, chunk, "it is compressed to nothing");
	if (chunk->stored >= chunk->count * (uint64_t)LM_SNAPSHOT_PAGE)
		return wrong_chunk(index, chunk, "it is compressed to no less than it was");
	return check_place(header, chunk, index, chunk->stored);
}

static int check_chunk(const struct lm_snapshot_header *header, const struct lm_chunk *chunk,
		       size_t index)
{
	if (chunk->reserved != 0 || chunk->layer != 0)
		return wrong_chunk(index, chunk, "its reserved bytes are not zero");
	switch (chunk->kind) {
	case LAZYMEM_CHUNK_ZERO:
		return check_absent(chunk, index);
	case LAZYMEM_CHUNK_PARENT:
		if ((header->features & LM_FEATURE_PARENT) == 0)
			return wrong_chunk(index, chunk,
					   "it is left to a parent, and there is none");
		return check_absent(chunk, index);
	case LAZYMEM_CHUNK_RAW:
		return check_raw(header, chunk, index);
	case LAZYMEM_CHUNK_LZ4:
	case LAZYMEM_CHUNK_ZSTD:
		return check_compressed(header, chunk, index);
	default:
		return lm_error(-EBADMSG, CHUNK "kind %u is not known", index, chunk->page,
				chunk->kind);
	}
}

/* Does it begin at `expected`, and lie inside the memory? */
static int check_order(const struct lm_chunk *chunk, size_t index, uint64_t expected,
		       uint64_t pages)
{
	if (chunk->page != expected)
		return lm_error(-EBADMSG, CHUNK "the one before it ends at page %" PRIu64, index,
				chunk->page, expected);
	if (chunk->count == 0)
		return wrong_chunk(index, chunk, "it has no pages");
	if (!lm_fits(chunk->page, chunk->count, pages))
		return wrong_chunk(index, chunk, "it goes past the end of the memory");
	return 0;
}

/* Of all chunks together; `pages` by kind. */
static int check_totals(const struct lm_snapshot_header *header, const uint64_t *pages)
{
	const uint64_t checksums = header->sections[LM_SECTION_CHECKSUMS].length / sizeof(uint32_t);
	const uint64_t stored =
		pages[LAZYMEM_CHUNK_RAW] + pages[LAZYMEM_CHUNK_LZ4] + pages[LAZYMEM_CHUNK_ZSTD];

	if (((header->features & LM_FEATURE_LZ4) != 0) != (pages[LAZYMEM_CHUNK_LZ4] != 0))
		return lm_error(-EBADMSG, "LZ4 chunks are there without their feature, or the "
					  "feature without them");
	if (((header->features & LM_FEATURE_ZSTD) != 0) != (pages[LAZYMEM_CHUNK_ZSTD] != 0))
		return lm_error(-EBADMSG, "zstd chunks are there without their feature, or the "
					  "feature without them");
	if (checksums > stored)
		return lm_error(-EBADMSG,
				"%" PRIu64 " checksums, more than the %" PRIu64
				" pages that are stored",
				checksums, stored);
	return 0;
}

int lm_snapshot_parse_chunks(const struct lm_snapshot_header *header, void *bytes,
			     struct lm_chunk **ret_chunks, size_t *ret_count)
{
	const size_t count = header->sections[LM_SECTION_CHUNKS].length / sizeof(struct lm_chunk);
	const uint64_t pages = lm_snapshot_pages(header->memory_length);
	struct lm_chunk *chunks = bytes;
	uint64_t by_kind[LAZYMEM_CHUNK_KINDS] = {0};
	uint64_t expected = 0;
	int error = 0;

	for (size_t i = 0; i < count; i++) {
		swap_chunk(&chunks[i]);
		error = check_order(&chunks[i], i, expected, pages);
		if (error == 0)
			error = check_chunk(header, &chunks[i], i);
		if (error != 0)
			return error;
		expected += chunks[i].count;
		by_kind[chunks[i].kind] += chunks[i].count;
	}
	if (expected != pages)
		return lm_error(-EBADMSG, "the chunks end at page %" PRIu64 " of %" PRIu64,
				expected, pages);
	error = check_totals(header, by_kind);
	if (error != 0)
		return error;
	*ret_chunks = chunks;
	*ret_count = count;
	return 0;
}

void lm_snapshot_put_chunk(const struct lm_chunk *chunk, void *bytes)
{
	struct lm_chunk swapped = *chunk;

	swapped.reserved = 0;
	swapped.layer = 0;
	swap_chunk(&swapped);
	memcpy(bytes, &swapped, sizeof(swapped));
}

uint32_t *lm_snapshot_parse_checksums(const struct lm_snapshot_header *header, void *bytes)
{
	const size_t count = header->sections[LM_SECTION_CHECKSUMS].length / sizeof(uint32_t);
	uint32_t *checksums = bytes;

	for (size_t i = 0; i < count; i++)
		checksums[i] = le32toh(checksums[i]);
	return checksums;
}

/* ---- the parent's path --------------------------------------------------- */

int lm_snapshot_parse_parent(const struct lm_snapshot_header *header, const void *bytes,
			     char **ret_path)
{
	const size_t length = header->sections[LM_SECTION_PARENT].length;
	char *path;

	if (memchr(bytes, '\0', length) != NULL)
		return lm_error(-EBADMSG, "section parent path: one of its bytes is zero");
	path = strndup(bytes, length);
	if (path == NULL)
		return lm_error(-ENOMEM, "no memory for the path of the parent");
	*ret_path = path;
	return 0;
}

/* ---- blobs --------------------------------------------------------------- */

/* Byte offsets in the entry of a blob. */
enum {
	AT_OFFSET = 0,
	AT_LENGTH = 8,
	AT_CHECKSUM = 16,
	AT_NAME_LENGTH = 20,
	AT_NAME = 24,
};

static int by_name(const void *a, const void *b)
{
	const char *const *left = a, *const *right = b;

	return strcmp(*left, *right);
}

int lm_snapshot_check_names(int error, const char *const *names, size_t count)
{
	const char **sorted = calloc(count, sizeof(*sorted));
	int result = 0;

	if (sorted == NULL && count != 0)
		return lm_error(-ENOMEM, "no memory to sort the names of %zu blobs", count);
	for (size_t i = 0; i < count; i++)
		sorted[i] = names[i];
	if (count != 0)
		qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 1; i < count && result == 0; i++)
		if (strcmp(sorted[i - 1], sorted[i]) == 0)
			result = lm_error(error, "two blobs have the name %s", sorted[i]);
	free(sorted);
	return result;
}

static int parse_blob(const struct lm_snapshot_header *header, const unsigned char *from,
		      size_t index, struct lm_snapshot_blob *blob)
{
	const uint32_t name_length = lm_get_u32(from + AT_NAME_LENGTH);

	blob->offset = lm_get_u64(from + AT_OFFSET);
	blob->length = lm_get_u64(from + AT_LENGTH);
	blob->checksum = lm_get_u32(from + AT_CHECKSUM);
	if (name_length == 0 || name_length > LM_LONGEST_BLOB_NAME)
		return lm_error(-EBADMSG, "blob %zu: its name has %" PRIu32 " bytes, not 1 to %zu",
				index, name_length, LM_LONGEST_BLOB_NAME);
	memcpy(blob->name, from + AT_NAME, sizeof(blob->name));
	if (memchr(blob->name, '\0', name_length) != NULL)
		return lm_error(-EBADMSG, "blob %zu: a byte of its name is zero", index);
	for (size_t i = name_length; i < sizeof(blob->name); i++)
		if (blob->name[i] != '\0')
			return lm_error(-EBADMSG,
					"blob %zu: reserved bytes after its name are not zero",
					index);
	if (blob->offset < LM_SNAPSHOT_HEADER_SIZE)
		return lm_error(-EBADMSG, "blob %s lies in the header", blob->name);
	if (!lm_fits(blob->offset, blob->length, header->file_length))
		return lm_error(-EBADMSG, "blob %s goes past the end of the file", blob->name);
	return 0;
}

static int check_blob_names(const struct lm_snapshot_blob *blobs, size_t count)
{
	const char **names = calloc(count, sizeof(*names));
	int error;

	if (names == NULL && count != 0)
		return lm_error(-ENOMEM, "no memory for the names of %zu blobs", count);
	for (size_t i = 0; i < count; i++)
		names[i] = blobs[i].name;
	error = lm_snapshot_check_names(-EBADMSG, names, count);
	free(names);
	return error;
}

int lm_snapshot_parse_blobs(const struct lm_snapshot_header *header, const void *bytes,
			    struct lm_snapshot_blob **ret_blobs, size_t *ret_count)
{
	const unsigned char *from = bytes;
	const size_t count = header->sections[LM_SECTION_BLOBS].length / LM_BLOB_BYTES;
	struct lm_snapshot_blob *blobs = calloc(count, sizeof(*blobs));
	int error = 0;

	if (blobs == NULL && count != 0)
		return lm_error(-ENOMEM, "no memory for the names of %zu blobs", count);
	for (size_t i = 0; i < count && error == 0; i++)
		error = parse_blob(header, from + i * LM_BLOB_BYTES, i, &blobs[i]);
	if (error == 0)
		error = check_blob_names(blobs, count);
	if (error != 0) {
		free(blobs);
		return error;
	}
	*ret_blobs = blobs;
	*ret_count = count;
	return 0;
}

void lm_snapshot_put_blob(const struct lm_snapshot_blob *blob, void *bytes)
{
	unsigned char *to = bytes;
	const size_t name_length = strlen(blob->name);

	memset(to, 0, LM_BLOB_BYTES);
	lm_put_u64(to + AT_OFFSET, blob->offset);
	lm_put_u64(to + AT_LENGTH, blob->length);
	lm_put_u32(to + AT_CHECKSUM, blob->checksum);
	lm_put_u32(to + AT_NAME_LENGTH, (uint32_t)name_length);
	memcpy(to + AT_NAME, blob->name, name_length);
}
