/* SPDX-License-Identifier: MIT
 *
 * snapshot_header.c - the first page of a snapshot: what the file is, and
 * where its sections are.
 *
 * The order of the checks is from what every version has to what only this
 * one has: the magic, the version, the checksum, and after that the fields,
 * which nobody has changed by accident. Lengths are compared with the length
 * of the file and with the memory that they speak of, so that whoever takes
 * memory for a section takes no more than the file can ask for.
 */
#include "backing/snapshot_format.h"

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/little_endian.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define VERSION 1u
#define LONGEST_MEMORY (UINT64_C(1) << 56)
#define SECTION_BYTES ((size_t)32)
#define MOST_SECTIONS 64u
#define FEWEST_SECTIONS 3u
#define SECTION_MAY_BE_UNKNOWN 1u
#define KNOWN_FEATURES ((uint64_t)(LM_FEATURE_LZ4 | LM_FEATURE_ZSTD | LM_FEATURE_PARENT))

static const char magic[8] = {'L', 'Z', 'M', 'S', 'N', 'A', 'P', 'S'};

/* Byte offsets in the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEADER_LENGTH = 12,
	AT_PAGE_SIZE = 16,
	AT_SECTION_COUNT = 20,
	AT_FEATURES = 24,
	AT_MEMORY_LENGTH = 32,
	AT_FILE_LENGTH = 40,
	AT_IDENTITY = 48,
	AT_PARENT = 80,
	AT_RESERVED = 112,
	AT_SECTIONS = 256,
	AT_CHECKSUM = 4092,
};

/* Byte offsets in the entry of a section. */
enum {
	AT_TYPE = 0,
	AT_FLAGS = 4,
	AT_OFFSET = 8,
	AT_LENGTH = 16,
	AT_SECTION_CHECKSUM = 24,
	AT_SECTION_RESERVED = 28,
};

const char *lm_section_name(enum lm_section_type type)
{
	static const char *const names[LM_SECTION_TYPES] = {
		"unknown", "regions", "chunks", "checksums", "parent path", "trace", "blobs",
	};

	return names[type];
}

static bool are_zero(const unsigned char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

/* ---- parse --------------------------------------------------------------- */

/* Is it a snapshot of this version, unchanged since it was written? */
static int check_frame(const unsigned char *from)
{
	uint32_t number;

	if (memcmp(from + AT_MAGIC, magic, sizeof(magic)) != 0)
		return lm_error(-EBADMSG, "it does not begin with LZMSNAPS");
	number = lm_get_u32(from + AT_VERSION);
	if (number != VERSION)
		return lm_error(-EPROTONOSUPPORT, "version %" PRIu32 ", only %u is known", number,
				VERSION);
	number = lm_crc32c(0, from, AT_CHECKSUM);
	if (number != lm_get_u32(from + AT_CHECKSUM))
		return lm_error(-EBADMSG,
				"the header's checksum 0x%08" PRIx32
				" does not match its bytes, 0x%08" PRIx32,
				lm_get_u32(from + AT_CHECKSUM), number);
	return 0;
}

static int check_sizes(const unsigned char *from, uint64_t file_length)
{
	const uint64_t said = lm_get_u64(from + AT_FILE_LENGTH);
	const uint64_t memory = lm_get_u64(from + AT_MEMORY_LENGTH);
	uint32_t number = lm_get_u32(from + AT_HEADER_LENGTH);

	if (number != LM_SNAPSHOT_HEADER_SIZE)
		return lm_error(-EBADMSG, "header length %" PRIu32 ", not %zu", number,
				LM_SNAPSHOT_HEADER_SIZE);
	number = lm_get_u32(from + AT_PAGE_SIZE);
	if (number != LM_SNAPSHOT_PAGE)
		return lm_error(-EBADMSG, "page size %" PRIu32 ", not %zu", number,
				LM_SNAPSHOT_PAGE);
	number = lm_get_u32(from + AT_SECTION_COUNT);
	if (number < FEWEST_SECTIONS || number > MOST_SECTIONS)
		return lm_error(-EBADMSG, "%" PRIu32 " sections, not %u to %u", number,
				FEWEST_SECTIONS, MOST_SECTIONS);
	if (memory == 0 || memory > LONGEST_MEMORY)
		return lm_error(-EBADMSG, "a memory of %" PRIu64 " bytes, not 1 to 2^56", memory);
	if (said != file_length)
		return lm_error(-EBADMSG,
				"the header speaks of a file of %" PRIu64 " bytes, it has %" PRIu64,
				said, file_length);
	if (!lm_is_aligned(said, LM_SNAPSHOT_PAGE))
		return lm_error(-EBADMSG, "its length %" PRIu64 " is no multiple of %zu", said,
				LM_SNAPSHOT_PAGE);
	return 0;
}

static int check_features(uint64_t features)
{
	if ((features & ~KNOWN_FEATURES) != 0)
		return lm_error(-EPROTONOSUPPORT,
				"it needs features 0x%" PRIx64 ", which are not known",
				features & ~KNOWN_FEATURES);
	if ((features & LM_FEATURE_LZ4) != 0 && !lazymem_snapshot_supports(LAZYMEM_CHUNK_LZ4))
		return lm_error(-EPROTONOSUPPORT,
				"it has LZ4 chunks, and this library was built without LZ4");
	if ((features & LM_FEATURE_ZSTD) != 0 && !lazymem_snapshot_supports(LAZYMEM_CHUNK_ZSTD))
		return lm_error(-EPROTONOSUPPORT,
				"it has zstd chunks, and this library was built without zstd");
	return 0;
}

static int check_identities(const struct lm_snapshot_header *header)
{
	const bool has_parent = (header->features & LM_FEATURE_PARENT) != 0;

	if (lm_identity_is_none(&header->identity))
		return lm_error(-EBADMSG, "its identity is all zeros");
	if (has_parent && lm_identity_is_none(&header->parent))
		return lm_error(-EBADMSG, "it has a parent whose identity is all zeros");
	if (!has_parent && !lm_identity_is_none(&header->parent))
		return lm_error(-EBADMSG,
				"it names a parent's identity, and has not the feature of one");
	return 0;
}

static int check_reserved(const unsigned char *from)
{
	const size_t end = AT_SECTIONS + lm_get_u32(from + AT_SECTION_COUNT) * SECTION_BYTES;

	if (!are_zero(from + AT_RESERVED, AT_SECTIONS - AT_RESERVED))
		return lm_error(-EBADMSG, "reserved bytes before the sections are not zero");
	if (!are_zero(from + end, AT_CHECKSUM - end))
		return lm_error(-EBADMSG, "reserved bytes after the sections are not zero");
	return 0;
}

/* May a section of this type have this length? A trace is held against its own
 * rules by whoever reads it. */
static int check_length(const struct lm_snapshot_header *header, enum lm_section_type type)
{
	const uint64_t pages = lm_snapshot_pages(header->memory_length);
	const struct {
		uint64_t unit, fewest, most;
	} rules[LM_SECTION_TYPES] = {
		[LM_SECTION_REGIONS] = {LM_REGION_BYTES, 1, LM_MOST_REGIONS},
		[LM_SECTION_CHUNKS] = {sizeof(struct lm_chunk), 1, pages},
		[LM_SECTION_CHECKSUMS] = {sizeof(uint32_t), 0, pages},
		[LM_SECTION_PARENT] = {1, 1, LM_LONGEST_PARENT_PATH},
		[LM_SECTION_TRACE] = {1, 1, UINT64_MAX},
		[LM_SECTION_BLOBS] = {LM_BLOB_BYTES, 0, LM_MOST_BLOBS},
	};
	const uint64_t length = header->sections[type].length;
	const uint64_t count = length / rules[type].unit;

	if (length % rules[type].unit != 0)
		return lm_error(-EBADMSG,
				"section %s: its %" PRIu64 " bytes are no multiple of %" PRIu64,
				lm_section_name(type), length, rules[type].unit);
	if (count < rules[type].fewest || count > rules[type].most)
		return lm_error(-EBADMSG,
				"section %s: %" PRIu64 " entries, not %" PRIu64 " to %" PRIu64,
				lm_section_name(type), count, rules[type].fewest, rules[type].most);
	return 0;
}

/* The rules for a section of any type, known or not. */
static int check_section(const unsigned char *entry, uint32_t index, uint64_t file_length)
{
	const uint32_t flags = lm_get_u32(entry + AT_FLAGS);
	const uint64_t offset = lm_get_u64(entry + AT_OFFSET);
	const uint64_t length = lm_get_u64(entry + AT_LENGTH);

	if ((flags & ~SECTION_MAY_BE_UNKNOWN) != 0)
		return lm_error(-EBADMSG, "section %" PRIu32 ": flags 0x%" PRIx32 ", not 0 or 1",
				index, flags);
	if (lm_get_u32(entry + AT_SECTION_RESERVED) != 0)
		return lm_error(-EBADMSG, "section %" PRIu32 ": its reserved bytes are not zero",
				index);
	if (!lm_is_aligned(offset, 8))
		return lm_error(-EBADMSG,
				"section %" PRIu32 ": offset %" PRIu64 " is no multiple of 8",
				index, offset);
	if (offset < LM_SNAPSHOT_HEADER_SIZE)
		return lm_error(-EBADMSG,
				"section %" PRIu32 ": offset %" PRIu64 " lies in the header", index,
				offset);
	if (!lm_fits(offset, length, file_length))
		return lm_error(-EBADMSG,
				"section %" PRIu32 ": %" PRIu64 " bytes at %" PRIu64
				" go past the end of the file",
				index, length, offset);
	return 0;
}

/* Entry `index`, after those before it. */
static int parse_section(const unsigned char *entries, uint32_t index,
			 struct lm_snapshot_header *header)
{
	const unsigned char *entry = entries + index * SECTION_BYTES;
	const uint32_t type = lm_get_u32(entry + AT_TYPE);
	const int error = check_section(entry, index, header->file_length);

	if (error != 0)
		return error;
	for (uint32_t i = 0; i < index; i++)
		if (lm_get_u32(entries + i * SECTION_BYTES + AT_TYPE) == type)
			return lm_error(-EBADMSG,
					"sections %" PRIu32 " and %" PRIu32
					" are both of type %" PRIu32,
					i, index, type);
	if (type == 0 || type >= LM_SECTION_TYPES) {
		if (lm_get_u32(entry + AT_FLAGS) == SECTION_MAY_BE_UNKNOWN)
			return 0;
		return lm_error(-EPROTONOSUPPORT,
				"section %" PRIu32 ": type %" PRIu32
				" is not known and must not be passed over",
				index, type);
	}
	header->sections[type] = (struct lm_section){
		.present = true,
		.offset = lm_get_u64(entry + AT_OFFSET),
		.length = lm_get_u64(entry + AT_LENGTH),
		.checksum = lm_get_u32(entry + AT_SECTION_CHECKSUM),
	};
	return check_length(header, (enum lm_section_type)type);
}

/* Those that must be there are; a parent's path is there with a parent only. */
static int check_presence(const struct lm_snapshot_header *header)
{
	const bool has_parent = (header->features & LM_FEATURE_PARENT) != 0;

	for (enum lm_section_type type = LM_SECTION_REGIONS; type <= LM_SECTION_CHECKSUMS; type++)
		if (!header->sections[type].present)
			return lm_error(-EBADMSG, "section %s is not there", lm_section_name(type));
	if (has_parent && !header->sections[LM_SECTION_PARENT].present)
		return lm_error(-EBADMSG, "it has a parent, and no section says where that is");
	if (!has_parent && header->sections[LM_SECTION_PARENT].present)
		return lm_error(-EBADMSG, "it says where its parent is, and has none");
	return 0;
}

uint64_t lm_snapshot_said_length(const void *bytes)
{
	return lm_get_u64((const unsigned char *)bytes + AT_FILE_LENGTH);
}

int lm_snapshot_parse_header(const void *bytes, uint64_t file_length,
			     struct lm_snapshot_header *ret_header)
{
	const unsigned char *from = bytes;
	struct lm_snapshot_header header = {0};
	int error = check_frame(from);

	if (error == 0)
		error = check_sizes(from, file_length);
	if (error != 0)
		return error;
	header.features = lm_get_u64(from + AT_FEATURES);
	header.memory_length = lm_get_u64(from + AT_MEMORY_LENGTH);
	header.file_length = file_length;
	memcpy(header.identity.bytes, from + AT_IDENTITY, sizeof(header.identity.bytes));
	memcpy(header.parent.bytes, from + AT_PARENT, sizeof(header.parent.bytes));
	error = check_features(header.features);
	if (error == 0)
		error = check_identities(&header);
	if (error == 0)
		error = check_reserved(from);
	for (uint32_t i = 0; error == 0 && i < lm_get_u32(from + AT_SECTION_COUNT); i++)
		error = parse_section(from + AT_SECTIONS, i, &header);
	if (error == 0)
		error = check_presence(&header);
	if (error != 0)
		return error;
	*ret_header = header;
	return 0;
}

/* ---- serialise ----------------------------------------------------------- */

static void put_section(enum lm_section_type type, const struct lm_section *section,
			unsigned char *to)
{
	lm_put_u32(to + AT_TYPE, type);
	lm_put_u64(to + AT_OFFSET, section->offset);
	lm_put_u64(to + AT_LENGTH, section->length);
	lm_put_u32(to + AT_SECTION_CHECKSUM, section->checksum);
}

void lm_snapshot_put_header(const struct lm_snapshot_header *header, void *bytes)
{
	unsigned char *to = bytes;
	uint32_t count = 0;

	memset(to, 0, LM_SNAPSHOT_HEADER_SIZE);
	memcpy(to + AT_MAGIC, magic, sizeof(magic));
	lm_put_u32(to + AT_VERSION, VERSION);
	lm_put_u32(to + AT_HEADER_LENGTH, (uint32_t)LM_SNAPSHOT_HEADER_SIZE);
	lm_put_u32(to + AT_PAGE_SIZE, (uint32_t)LM_SNAPSHOT_PAGE);
	lm_put_u64(to + AT_FEATURES, header->features);
	lm_put_u64(to + AT_MEMORY_LENGTH, header->memory_length);
	lm_put_u64(to + AT_FILE_LENGTH, header->file_length);
	memcpy(to + AT_IDENTITY, header->identity.bytes, sizeof(header->identity.bytes));
	memcpy(to + AT_PARENT, header->parent.bytes, sizeof(header->parent.bytes));
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++)
		if (header->sections[type].present)
			put_section(type, &header->sections[type],
				    to + AT_SECTIONS + SECTION_BYTES * count++);
	lm_put_u32(to + AT_SECTION_COUNT, count);
	lm_put_u32(to + AT_CHECKSUM, lm_crc32c(0, to, AT_CHECKSUM));
}
