/* SPDX-License-Identifier: MIT
 *
 * snapshot_format.c - libFuzzer harness for the parsers of a snapshot's header
 * and sections, one by one and without a file.
 *
 * A header is believed about the length of the file, so that claims of huge
 * ones are tried as well. A section is parsed when its bytes are there, even
 * when another one was refused, from memory that ends where it ends. What is
 * accepted must obey the manual, and become the same bytes again.
 */
#include "backing/snapshot_format.h"

#include "tests/fuzz/require.h"
#include "tests/fuzz/snapshot_bytes.h"
#include "tests/fuzz/snapshot_rules.h"

#include <errno.h>
#include <lazymem/common.h>
#include <string.h>

static void require_refusal(int error)
{
	REQUIRE(error == -EBADMSG || error == -EPROTONOSUPPORT);
	REQUIRE(lazymem_error_message()[0] != '\0');
}

/* Sections are written in the order of their types, and without flags. */
static void require_header_round_trip(const struct lm_snapshot_header *header)
{
	struct lm_snapshot_header again;
	uint8_t bytes[PAGE];

	lm_snapshot_put_header(header, bytes);
	REQUIRE(lm_snapshot_parse_header(bytes, header->file_length, &again) == 0);
	REQUIRE(again.features == header->features);
	REQUIRE(again.memory_length == header->memory_length);
	REQUIRE(memcmp(&again.identity, &header->identity, sizeof(again.identity)) == 0);
	REQUIRE(memcmp(&again.parent, &header->parent, sizeof(again.parent)) == 0);
	for (int type = REGIONS; type <= BLOBS; type++) {
		const struct lm_section *a = &again.sections[type], *b = &header->sections[type];

		REQUIRE(a->present == b->present && a->offset == b->offset);
		REQUIRE(a->length == b->length && a->checksum == b->checksum);
	}
}

static void parse_regions(const struct lm_snapshot_header *header, const uint8_t *file,
			  uint8_t *bytes, size_t length)
{
	struct lazymem_snapshot_region *regions;
	uint8_t again[REGION_SIZE];
	uint64_t offset = 0;
	size_t count;
	const int error = lm_snapshot_parse_regions(header, bytes, &regions, &count);

	if (error != 0) {
		require_refusal(error);
		return;
	}
	require_regions(file, bytes, length);
	REQUIRE(count == length / REGION_SIZE);
	for (size_t i = 0; i < count; i++) {
		REQUIRE(regions[i].offset == offset);
		offset += regions[i].length;
		lm_snapshot_put_region(&regions[i], again);
		REQUIRE(memcmp(again, bytes + i * REGION_SIZE, REGION_SIZE) == 0);
	}
	free(regions);
}

static void parse_chunks(const struct lm_snapshot_header *header, const uint8_t *file,
			 uint8_t *bytes, size_t length)
{
	uint8_t *before = malloc(length), again[CHUNK_SIZE];
	struct lm_chunk *chunks;
	size_t count;
	int error;

	REQUIRE(before != NULL);
	memcpy(before, bytes, length);
	error = lm_snapshot_parse_chunks(header, bytes, &chunks, &count);
	if (error != 0) {
		require_refusal(error);
	} else {
		require_chunks(file, before, length);
		REQUIRE(count == length / CHUNK_SIZE);
		for (size_t i = 0; i < count; i++) {
			lm_snapshot_put_chunk(&chunks[i], again);
			REQUIRE(memcmp(again, before + i * CHUNK_SIZE, CHUNK_SIZE) == 0);
		}
	}
	free(before);
}

static void parse_parent(const struct lm_snapshot_header *header, const uint8_t *bytes,
			 size_t length)
{
	char *path;
	const int error = lm_snapshot_parse_parent(header, bytes, &path);

	if (error != 0) {
		require_refusal(error);
		return;
	}
	require_parent_path(bytes, length);
	REQUIRE(strlen(path) == length && memcmp(path, bytes, length) == 0);
	free(path);
}

static void parse_blobs(const struct lm_snapshot_header *header, const uint8_t *file,
			const uint8_t *bytes, size_t length)
{
	struct lm_snapshot_blob *blobs;
	uint8_t again[BLOB_SIZE];
	size_t count;
	const int error = lm_snapshot_parse_blobs(header, bytes, &blobs, &count);

	if (error != 0) {
		require_refusal(error);
		return;
	}
	require_blobs(file, bytes, length);
	REQUIRE(count == length / BLOB_SIZE);
	for (size_t i = 0; i < count; i++) {
		lm_snapshot_put_blob(&blobs[i], again);
		REQUIRE(memcmp(again, bytes + i * BLOB_SIZE, BLOB_SIZE) == 0);
	}
	free(blobs);
}

static void parse_section(const struct lm_snapshot_header *header, const uint8_t *file, size_t size,
			  enum lm_section_type type)
{
	size_t offset, length;
	uint8_t *bytes;

	if (!header->sections[type].present || !find_section(file, size, type, &offset, &length))
		return;
	bytes = malloc(length);
	if (bytes == NULL)
		return;
	memcpy(bytes, file + offset, length);
	if (lm_snapshot_check_section(header, type, bytes) != 0)
		require_refusal(-EBADMSG);
	if (type == LM_SECTION_REGIONS)
		parse_regions(header, file, bytes, length);
	if (type == LM_SECTION_CHUNKS)
		parse_chunks(header, file, bytes, length);
	if (type == LM_SECTION_CHECKSUMS && length > 0)
		REQUIRE(lm_get_u32(bytes) == *lm_snapshot_parse_checksums(header, bytes));
	if (type == LM_SECTION_PARENT)
		parse_parent(header, bytes, length);
	if (type == LM_SECTION_BLOBS)
		parse_blobs(header, file, bytes, length);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct lm_snapshot_header header;
	uint64_t file_length;
	int error;

	if (size < PAGE)
		return 0;
	file_length = lm_get_u64(bytes + FILE_LENGTH_AT);
	error = lm_snapshot_parse_header(bytes, file_length, &header);
	if (error != 0) {
		require_refusal(error);
		return 0;
	}
	require_header(bytes, file_length);
	require_header_round_trip(&header);
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++)
		parse_section(&header, bytes, size, type);
	return 0;
}
