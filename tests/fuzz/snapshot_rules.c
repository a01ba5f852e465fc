/* SPDX-License-Identifier: MIT
 *
 * snapshot_rules.c - the rules of lazymem-snapshot(5), one after the other, as
 * the manual has them. Nothing here is fast, and nothing is taken from the
 * parsers that are under test.
 */
#include "tests/fuzz/snapshot_rules.h"

#include "core/crc32c.h"
#include "tests/fuzz/require.h"
#include "tests/fuzz/snapshot_bytes.h"

#include <string.h>

static bool are_zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static uint64_t memory_pages(const uint8_t *file)
{
	return (lm_get_u64(file + MEMORY_LENGTH_AT) + PAGE - 1) / PAGE;
}

/* ---- header --------------------------------------------------------------- */

static void require_count(uint64_t length, uint64_t unit, uint64_t fewest, uint64_t most)
{
	REQUIRE(length % unit == 0);
	REQUIRE(length / unit >= fewest && length / unit <= most);
}

static void require_section(const uint8_t *file, const uint8_t *entry, uint64_t file_length)
{
	const uint32_t type = lm_get_u32(entry), flags = lm_get_u32(entry + 4);
	const uint64_t offset = lm_get_u64(entry + 8), length = lm_get_u64(entry + 16);

	REQUIRE(section_entry(file, type) == entry); /* no other one is of its type */
	REQUIRE(flags <= 1);
	REQUIRE((type >= REGIONS && type <= BLOBS) || flags == 1);
	REQUIRE(offset % 8 == 0 && offset >= PAGE);
	REQUIRE(offset <= file_length && length <= file_length - offset);
	REQUIRE(lm_get_u32(entry + 28) == 0);
	if (type == REGIONS)
		require_count(length, REGION_SIZE, 1, 65536);
	if (type == CHUNKS)
		require_count(length, CHUNK_SIZE, 1, memory_pages(file));
	if (type == CHECKSUMS)
		require_count(length, 4, 0, memory_pages(file));
	if (type == PARENT_PATH)
		require_count(length, 1, 1, 4095);
	if (type == BLOBS)
		require_count(length, BLOB_SIZE, 0, 65536);
}

static void require_lineage(const uint8_t *file)
{
	const bool has_parent = (lm_get_u64(file + FEATURES_AT) & FEATURE_PARENT) != 0;

	REQUIRE(!are_zero(file + IDENTITY_AT, IDENTITY_SIZE));
	REQUIRE(are_zero(file + PARENT_AT, IDENTITY_SIZE) == !has_parent);
	REQUIRE((section_entry(file, PARENT_PATH) != NULL) == has_parent);
}

void require_header(const uint8_t *file, uint64_t file_length)
{
	const uint32_t sections = lm_get_u32(file + SECTION_COUNT_AT);
	const uint64_t memory = lm_get_u64(file + MEMORY_LENGTH_AT);
	const size_t end = SECTIONS_AT + (size_t)sections * SECTION_SIZE;

	REQUIRE(memcmp(file, "LZMSNAPS", 8) == 0);
	REQUIRE(lm_get_u32(file + 8) == 1);
	REQUIRE(lm_get_u32(file + 12) == 4096);
	REQUIRE(lm_get_u32(file + 16) == 4096);
	REQUIRE(sections >= 3 && sections <= 64);
	REQUIRE(lm_get_u64(file + FEATURES_AT) <= (FEATURE_LZ4 | FEATURE_ZSTD | FEATURE_PARENT));
	REQUIRE(memory >= 1 && memory <= UINT64_C(1) << 56);
	REQUIRE(lm_get_u64(file + FILE_LENGTH_AT) == file_length);
	REQUIRE(file_length % PAGE == 0);
	REQUIRE(are_zero(file + 112, SECTIONS_AT - 112));
	REQUIRE(are_zero(file + end, HEADER_SUM_AT - end));
	REQUIRE(lm_get_u32(file + HEADER_SUM_AT) == lm_crc32c(0, file, HEADER_SUM_AT));
	for (uint32_t i = 0; i < sections; i++)
		require_section(file, file + SECTIONS_AT + i * SECTION_SIZE, file_length);
	for (uint32_t type = REGIONS; type <= CHECKSUMS; type++)
		REQUIRE(section_entry(file, type) != NULL);
	require_lineage(file);
}

/* ---- sections -------------------------------------------------------------- */

static int by_address(const void *a, const void *b)
{
	const uint64_t left = lm_get_u64(a), right = lm_get_u64(b);

	return left < right ? -1 : left > right;
}

void require_regions(const uint8_t *file, const uint8_t *bytes, size_t length)
{
	uint8_t *sorted = malloc(length);
	uint64_t total = 0;

	REQUIRE(sorted != NULL);
	memcpy(sorted, bytes, length);
	qsort(sorted, length / REGION_SIZE, REGION_SIZE, by_address);
	for (size_t at = 0; at < length; at += REGION_SIZE) {
		const uint64_t base = lm_get_u64(sorted + at), size = lm_get_u64(sorted + at + 8);

		REQUIRE(base % PAGE == 0 && size % PAGE == 0 && size != 0);
		REQUIRE(size - 1 <= UINT64_MAX - base);
		REQUIRE(at + REGION_SIZE == length ||
			base + (size - 1) < lm_get_u64(sorted + at + REGION_SIZE));
		total += size;
	}
	REQUIRE(total == memory_pages(file) * PAGE);
	free(sorted);
}

static void require_chunk(const uint8_t *file, const uint8_t *bytes, uint64_t checksums)
{
	const struct chunk_fields chunk = get_chunk(bytes);
	const uint64_t stored = stored_length(&chunk);

	REQUIRE(chunk.count != 0 && chunk.kind <= KIND_ZSTD && are_zero(bytes + 13, 3));
	if (chunk.kind == KIND_ZERO || chunk.kind == KIND_PARENT) {
		REQUIRE(chunk.position == 0 && chunk.stored == 0 && chunk.checksum == 0);
		return;
	}
	REQUIRE(chunk.position >= PAGE);
	REQUIRE(lm_fits(chunk.position, stored, lm_get_u64(file + FILE_LENGTH_AT)));
	REQUIRE((uint64_t)chunk.checksum + chunk.count <= checksums);
	if (chunk.kind == KIND_RAW) {
		REQUIRE(chunk.position % PAGE == 0 && chunk.stored == 0);
		return;
	}
	REQUIRE(chunk.count <= 64);
	REQUIRE(stored > 0 && stored < chunk.count * PAGE);
}

void require_chunks(const uint8_t *file, const uint8_t *bytes, size_t length)
{
	const uint64_t features = lm_get_u64(file + FEATURES_AT);
	const uint64_t checksums = lm_get_u64(section_entry(file, CHECKSUMS) + 16) / 4;
	uint64_t page = 0, pages[KIND_ZSTD + 1] = {0};

	for (size_t at = 0; at < length; at += CHUNK_SIZE) {
		const struct chunk_fields chunk = get_chunk(bytes + at);

		require_chunk(file, bytes + at, checksums);
		REQUIRE(chunk.page == page);
		page += chunk.count;
		pages[chunk.kind] += chunk.count;
	}
	REQUIRE(page == memory_pages(file));
	REQUIRE(pages[KIND_PARENT] == 0 || (features & FEATURE_PARENT) != 0);
	REQUIRE((pages[KIND_LZ4] != 0) == ((features & FEATURE_LZ4) != 0));
	REQUIRE((pages[KIND_ZSTD] != 0) == ((features & FEATURE_ZSTD) != 0));
	REQUIRE(checksums <= pages[KIND_RAW] + pages[KIND_LZ4] + pages[KIND_ZSTD]);
}

void require_parent_path(const uint8_t *bytes, size_t length)
{
	REQUIRE(memchr(bytes, 0, length) == NULL);
}

void require_blobs(const uint8_t *file, const uint8_t *bytes, size_t length)
{
	for (size_t at = 0; at < length; at += BLOB_SIZE) {
		const uint32_t name_length = lm_get_u32(bytes + at + 20);

		REQUIRE(lm_get_u64(bytes + at) >= PAGE);
		REQUIRE(lm_fits(lm_get_u64(bytes + at), lm_get_u64(bytes + at + 8),
				lm_get_u64(file + FILE_LENGTH_AT)));
		REQUIRE(name_length >= 1 && name_length <= 255);
		REQUIRE(memchr(bytes + at + 24, 0, name_length) == NULL);
		REQUIRE(are_zero(bytes + at + 24 + name_length, 256 - name_length));
		for (size_t other = 0; other < at; other += BLOB_SIZE)
			REQUIRE(memcmp(bytes + at + 24, bytes + other + 24, 256) != 0);
	}
}

/* ---- the file ----------------------------------------------------------------- */

static void require_trace(const uint8_t *file, const uint8_t *bytes, size_t length)
{
	REQUIRE(length >= TRACE_RUNS_AT + 4);
	REQUIRE(memcmp(bytes, "LZMTRACE", 8) == 0);
	REQUIRE(lm_get_u32(bytes + length - 4) == lm_crc32c(0, bytes, length - 4));
	REQUIRE(memcmp(bytes + TRACE_IDENTITY_AT, file + IDENTITY_AT, IDENTITY_SIZE) == 0);
}

void require_snapshot(const uint8_t *file, size_t size)
{
	REQUIRE(size >= PAGE);
	require_header(file, size);
	for (uint32_t type = REGIONS; type <= BLOBS; type++) {
		const uint8_t *entry = section_entry(file, type);
		size_t offset, length;

		if (entry == NULL)
			continue;
		REQUIRE(find_section(file, size, type, &offset, &length));
		REQUIRE(lm_get_u32(entry + 24) == lm_crc32c(0, file + offset, length));
		if (type == REGIONS)
			require_regions(file, file + offset, length);
		if (type == CHUNKS)
			require_chunks(file, file + offset, length);
		if (type == PARENT_PATH)
			require_parent_path(file + offset, length);
		if (type == TRACE)
			require_trace(file, file + offset, length);
		if (type == BLOBS)
			require_blobs(file, file + offset, length);
	}
}
