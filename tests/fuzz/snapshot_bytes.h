/* SPDX-License-Identifier: MIT
 *
 * snapshot_bytes.h - where things are in the bytes of a snapshot file. The
 * offsets are those of lazymem-snapshot(5), written out here a second time, so
 * that a mistake of the library is not repeated by who looks for it.
 */
#ifndef SNAPSHOT_BYTES_H
#define SNAPSHOT_BYTES_H

#include "core/checked.h"
#include "core/little_endian.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE ((size_t)4096)
#define SECTION_COUNT_AT 20
#define FEATURES_AT 24
#define MEMORY_LENGTH_AT 32
#define FILE_LENGTH_AT 40
#define IDENTITY_AT 48
#define PARENT_AT 80
#define IDENTITY_SIZE 32
#define SECTIONS_AT 256
#define SECTION_SIZE 32
#define HEADER_SUM_AT 4092

#define REGION_SIZE 16
#define CHUNK_SIZE 32
#define BLOB_SIZE 280

#define TRACE_COUNT_AT 24
#define TRACE_IDENTITY_AT 32
#define TRACE_RUNS_AT 64
#define TRACE_RUN_SIZE 16

enum { REGIONS = 1, CHUNKS, CHECKSUMS, PARENT_PATH, TRACE, BLOBS };
enum { KIND_ZERO, KIND_PARENT, KIND_RAW, KIND_LZ4, KIND_ZSTD };
enum { FEATURE_LZ4 = 1, FEATURE_ZSTD = 2, FEATURE_PARENT = 4 };

/* Several files may follow each other in an input, the topmost first: each but
 * the last is as long as its header says. */
#define MOST_FILES 4

/* The length of the first file of `size` bytes. */
static inline size_t first_file(const uint8_t *bytes, size_t size)
{
	uint64_t said;

	if (size < PAGE)
		return size;
	said = lm_get_u64(bytes + FILE_LENGTH_AT);
	return said >= PAGE && said < size && lm_is_aligned(said, PAGE) ? (size_t)said : size;
}

static inline uint32_t section_count(const uint8_t *file)
{
	return (uint32_t)lm_min(lm_get_u32(file + SECTION_COUNT_AT), 64);
}

/* The entry of a section, or NULL. `file` has at least a page. */
static inline const uint8_t *section_entry(const uint8_t *file, uint32_t type)
{
	for (uint32_t i = 0; i < section_count(file); i++) {
		const uint8_t *entry = file + SECTIONS_AT + i * SECTION_SIZE;

		if (lm_get_u32(entry) == type)
			return entry;
	}
	return NULL;
}

/* Where a section is. False when there is none that lies inside the file. */
static inline bool find_section(const uint8_t *file, size_t size, uint32_t type, size_t *ret_offset,
				size_t *ret_length)
{
	const uint8_t *entry = section_entry(file, type);

	if (entry == NULL || !lm_fits(lm_get_u64(entry + 8), lm_get_u64(entry + 16), size))
		return false;
	*ret_offset = (size_t)lm_get_u64(entry + 8);
	*ret_length = (size_t)lm_get_u64(entry + 16);
	return true;
}

struct chunk_fields {
	uint64_t page;
	uint32_t count;
	uint8_t kind;
	uint64_t position;
	uint32_t stored;
	uint32_t checksum;
};

static inline struct chunk_fields get_chunk(const uint8_t *bytes)
{
	return (struct chunk_fields){
		.page = lm_get_u64(bytes),
		.count = lm_get_u32(bytes + 8),
		.kind = bytes[12],
		.position = lm_get_u64(bytes + 16),
		.stored = lm_get_u32(bytes + 24),
		.checksum = lm_get_u32(bytes + 28),
	};
}

/* What is stored for a chunk, in bytes. */
static inline uint64_t stored_length(const struct chunk_fields *chunk)
{
	if (chunk->kind == KIND_RAW)
		return (uint64_t)chunk->count * PAGE;
	return chunk->kind == KIND_LZ4 || chunk->kind == KIND_ZSTD ? chunk->stored : 0;
}

#endif
