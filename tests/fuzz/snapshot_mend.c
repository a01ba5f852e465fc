/* SPDX-License-Identifier: MIT
 *
 * snapshot_mend.c - from the innermost checksum to the outermost: pages, blobs
 * and the trace; the sections that hold those; the header. What does not lie
 * inside the file is left as it is.
 */
#include "tests/fuzz/snapshot_mend.h"

#include "backing/codec.h"
#include "core/crc32c.h"
#include "tests/fuzz/snapshot_bytes.h"

#include <string.h>

#define MOST_PAGES 64

/* Pages whose checksums are computed for one file: chunks may share what is
 * stored, so the size of a file sets no limit. */
#define MOST_MENDED 1024

struct file {
	uint8_t *bytes;
	size_t size;
};

static bool section_of(const struct file *file, uint32_t type, uint8_t **ret_bytes,
		       size_t *ret_length)
{
	size_t offset;

	if (!find_section(file->bytes, file->size, type, &offset, ret_length) || offset < PAGE)
		return false;
	*ret_bytes = file->bytes + offset;
	return true;
}

/* ---- chunks --------------------------------------------------------------- */

/* The memory as long as `pages`: the last region takes what is left. */
static void mend_memory(const struct file *file, uint64_t pages)
{
	const uint64_t wanted = pages * PAGE;
	uint64_t others = 0;
	uint8_t *regions;
	size_t length;

	if ((lm_get_u64(file->bytes + MEMORY_LENGTH_AT) + PAGE - 1) / PAGE != pages)
		lm_put_u64(file->bytes + MEMORY_LENGTH_AT, wanted);
	if (!section_of(file, REGIONS, &regions, &length) || length < REGION_SIZE)
		return;
	for (size_t at = 0; at + 2 * REGION_SIZE <= length; at += REGION_SIZE)
		others += lm_get_u64(regions + at + 8);
	if (others < wanted)
		lm_put_u64(regions + (length / REGION_SIZE - 1) * REGION_SIZE + 8, wanted - others);
}

static void mend_order(const struct file *file)
{
	uint64_t page = 0;
	uint8_t *chunks;
	size_t length;

	if (!section_of(file, CHUNKS, &chunks, &length))
		return;
	for (size_t at = 0; at + CHUNK_SIZE <= length; at += CHUNK_SIZE) {
		lm_put_u64(chunks + at, page);
		page += lm_get_u32(chunks + at + 8);
	}
	mend_memory(file, page);
}

static void mend_features(const struct file *file)
{
	uint64_t features = section_entry(file->bytes, PARENT_PATH) != NULL ? FEATURE_PARENT : 0;
	uint8_t *chunks;
	size_t length;

	if (!section_of(file, CHUNKS, &chunks, &length))
		return;
	for (size_t at = 0; at + CHUNK_SIZE <= length; at += CHUNK_SIZE) {
		if (chunks[at + 12] == KIND_LZ4)
			features |= FEATURE_LZ4;
		if (chunks[at + 12] == KIND_ZSTD)
			features |= FEATURE_ZSTD;
	}
	lm_put_u64(file->bytes + FEATURES_AT, features);
}

/* The pages of a chunk, or NULL when it does not give any. */
static const uint8_t *decode(const struct file *file, const struct chunk_fields *chunk)
{
	static struct lm_codec_context context; /* one for all inputs: it is not freed */
	static uint8_t decoded[MOST_PAGES * PAGE];
	const uint64_t stored = stored_length(chunk);

	if (stored == 0 || !lm_fits(chunk->position, stored, file->size))
		return NULL;
	if (chunk->kind == KIND_RAW)
		return file->bytes + chunk->position;
	if (chunk->count > MOST_PAGES ||
	    lm_codec_decompress(&context, (enum lazymem_chunk_kind)chunk->kind,
				file->bytes + chunk->position, stored, decoded,
				chunk->count * PAGE) != 0)
		return NULL;
	return decoded;
}

static void mend_pages(const struct file *file)
{
	uint8_t *chunks, *sums;
	size_t length, sums_length, mended = 0;

	if (!section_of(file, CHUNKS, &chunks, &length) ||
	    !section_of(file, CHECKSUMS, &sums, &sums_length))
		return;
	for (size_t at = 0; at + CHUNK_SIZE <= length && mended < MOST_MENDED; at += CHUNK_SIZE) {
		const struct chunk_fields chunk = get_chunk(chunks + at);
		const uint8_t *pages = decode(file, &chunk);

		if (pages == NULL || !lm_fits(chunk.checksum, chunk.count, sums_length / 4))
			continue;
		for (uint32_t i = 0; i < chunk.count && mended < MOST_MENDED; i++, mended++)
			lm_put_u32(sums + ((size_t)chunk.checksum + i) * 4,
				   lm_crc32c(0, pages + i * PAGE, PAGE));
	}
}

/* ---- the rest ---------------------------------------------------------------- */

static void mend_blobs(const struct file *file)
{
	uint8_t *blobs;
	size_t length;

	if (!section_of(file, BLOBS, &blobs, &length))
		return;
	for (size_t at = 0; at + BLOB_SIZE <= length; at += BLOB_SIZE) {
		const uint64_t offset = lm_get_u64(blobs + at), size = lm_get_u64(blobs + at + 8);

		if (lm_fits(offset, size, file->size))
			lm_put_u32(blobs + at + 16, lm_crc32c(0, file->bytes + offset, size));
	}
}

static void mend_trace(const struct file *file)
{
	uint8_t *trace;
	size_t length;

	if (!section_of(file, TRACE, &trace, &length) || length < TRACE_RUNS_AT + 4)
		return;
	lm_put_u64(trace + TRACE_COUNT_AT, (length - TRACE_RUNS_AT - 4) / TRACE_RUN_SIZE);
	lm_put_u32(trace + length - 4, lm_crc32c(0, trace, length - 4));
}

static void mend_lineage(const struct file *file, const struct file *parent)
{
	static const uint8_t none[IDENTITY_SIZE];
	uint8_t *trace;
	size_t length;

	if (section_of(file, TRACE, &trace, &length) && length >= TRACE_RUNS_AT)
		memcpy(trace + TRACE_IDENTITY_AT, file->bytes + IDENTITY_AT, IDENTITY_SIZE);
	if ((lm_get_u64(file->bytes + FEATURES_AT) & FEATURE_PARENT) == 0)
		memcpy(file->bytes + PARENT_AT, none, IDENTITY_SIZE);
	else if (parent->size >= PAGE)
		memcpy(file->bytes + PARENT_AT, parent->bytes + IDENTITY_AT, IDENTITY_SIZE);
}

static void mend_sums(const struct file *file)
{
	for (uint32_t i = 0; i < section_count(file->bytes); i++) {
		uint8_t *entry = file->bytes + SECTIONS_AT + i * SECTION_SIZE;
		const uint64_t offset = lm_get_u64(entry + 8), length = lm_get_u64(entry + 16);

		if (offset >= PAGE && lm_fits(offset, length, file->size))
			lm_put_u32(entry + 24, lm_crc32c(0, file->bytes + offset, length));
	}
	lm_put_u32(file->bytes + HEADER_SUM_AT, lm_crc32c(0, file->bytes, HEADER_SUM_AT));
}

static void mend_file(const struct file *file, const struct file *parent, unsigned what)
{
	if ((what & MEND_LENGTH) != 0)
		lm_put_u64(file->bytes + FILE_LENGTH_AT, file->size);
	if ((what & MEND_ORDER) != 0)
		mend_order(file);
	if ((what & MEND_FEATURES) != 0)
		mend_features(file);
	if ((what & MEND_LINEAGE) != 0)
		mend_lineage(file, parent);
	if ((what & MEND_TRACE) != 0)
		mend_trace(file);
	if ((what & MEND_PAGES) != 0)
		mend_pages(file);
	if ((what & MEND_BLOBS) != 0)
		mend_blobs(file);
	if ((what & MEND_SUMS) != 0)
		mend_sums(file);
}

void mend_snapshots(uint8_t *bytes, size_t size, unsigned what)
{
	while (size >= PAGE) {
		const size_t length = first_file(bytes, size);
		const struct file file = {bytes, length}, parent = {bytes + length, size - length};

		mend_file(&file, &parent, what);
		bytes += length;
		size -= length;
	}
}
