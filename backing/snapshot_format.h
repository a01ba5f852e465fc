/* SPDX-License-Identifier: MIT
 *
 * snapshot_format.h - a snapshot file as bytes and as structs, version 1;
 * lazymem-snapshot(5) is its description to the byte. Nothing here does I/O,
 * and nothing that comes from a file is believed: a parser compares lengths
 * and counts with each other and with the length of the file before it takes
 * memory or begins a loop by them.
 */
#ifndef LM_SNAPSHOT_FORMAT_H
#define LM_SNAPSHOT_FORMAT_H

#include <lazymem/snapshot.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LM_SNAPSHOT_PAGE ((size_t)4096)
#define LM_SNAPSHOT_HEADER_SIZE ((size_t)4096)
#define LM_CHUNK_PAGES 64 /* of a compressed chunk, at most */
#define LM_MOST_REGIONS ((size_t)65536)
#define LM_MOST_BLOBS ((size_t)65536)
#define LM_LONGEST_PARENT_PATH ((size_t)4095)
#define LM_LONGEST_BLOB_NAME ((size_t)255)

enum lm_snapshot_feature {
	LM_FEATURE_LZ4 = 0x1,
	LM_FEATURE_ZSTD = 0x2,
	LM_FEATURE_PARENT = 0x4,
};

/* The numbers are those of the file. */
enum lm_section_type {
	LM_SECTION_REGIONS = 1,
	LM_SECTION_CHUNKS = 2,
	LM_SECTION_CHECKSUMS = 3,
	LM_SECTION_PARENT = 4,
	LM_SECTION_TRACE = 5,
	LM_SECTION_BLOBS = 6,
	LM_SECTION_TYPES = 7,
};

struct lm_section {
	bool present;
	uint64_t offset; /* in the file */
	uint64_t length;
	uint32_t checksum;
};

struct lm_snapshot_header {
	uint64_t features;
	uint64_t memory_length;
	uint64_t file_length;
	struct lazymem_identity identity;
	struct lazymem_identity parent;
	struct lm_section sections[LM_SECTION_TYPES]; /* by type */
};

/* A run of pages: the 32 bytes of the file, in the order of bytes of this
 * machine. `layer` is of the flat index in memory: which file of the stack the
 * rest speaks of; in a file these bytes are reserved. */
struct lm_chunk {
	uint64_t page;
	uint32_t count;
	uint8_t kind; /* enum lazymem_chunk_kind */
	uint8_t reserved;
	uint16_t layer;
	uint64_t position;
	uint32_t stored;
	uint32_t checksum; /* number of the first page's */
};

_Static_assert(sizeof(struct lm_chunk) == 32, "a chunk is what the file has");

struct lm_snapshot_blob {
	uint64_t offset;
	uint64_t length;
	uint32_t checksum;
	char name[256]; /* ends with a zero */
};

/* Pages of a memory of this length. */
static inline uint64_t lm_snapshot_pages(uint64_t memory_length)
{
	return memory_length / LM_SNAPSHOT_PAGE + (memory_length % LM_SNAPSHOT_PAGE != 0);
}

/* For messages: "regions". */
const char *lm_section_name(enum lm_section_type type);

/* ---- rules that hold for a file and for the plan of one; `error` is returned
 *      when one is broken. */

/* Whole pages, no two overlap, together as long as the memory. At least one. */
int lm_snapshot_check_regions(int error, const struct lazymem_snapshot_region *regions,
			      size_t count, uint64_t memory_length);

/* No two are alike. Also -ENOMEM. */
int lm_snapshot_check_names(int error, const char *const *names, size_t count);

/* ---- parse: the message says what is wrong; `name_file` of the caller puts the
 *      file's name before it. -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */

/* LM_SNAPSHOT_HEADER_SIZE bytes of a file that has file_length bytes. Checks
 * the header's checksum and that every section lies inside the file, with a
 * length that its type may have. */
int lm_snapshot_parse_header(const void *bytes, uint64_t file_length,
			     struct lm_snapshot_header *ret_header);

/* The length of the file as a header says it that may be anything. */
uint64_t lm_snapshot_said_length(const void *bytes);

/* The bytes of a section, as many as its length says, match its checksum. */
int lm_snapshot_check_section(const struct lm_snapshot_header *header, enum lm_section_type type,
			      const void *bytes);

/* Regions, for the caller to free. */
int lm_snapshot_parse_regions(const struct lm_snapshot_header *header, const void *bytes,
			      struct lazymem_snapshot_region **ret_regions, size_t *ret_count);

/* Chunks in place: bytes of the section become structs, layer 0. They are
 * aligned for that. */
int lm_snapshot_parse_chunks(const struct lm_snapshot_header *header, void *bytes,
			     struct lm_chunk **ret_chunks, size_t *ret_count);

/* Checksums in place likewise; their number is the section's length / 4. */
uint32_t *lm_snapshot_parse_checksums(const struct lm_snapshot_header *header, void *bytes);

/* The path of the parent, for the caller to free. */
int lm_snapshot_parse_parent(const struct lm_snapshot_header *header, const void *bytes,
			     char **ret_path);

/* The directory of blobs, for the caller to free. */
int lm_snapshot_parse_blobs(const struct lm_snapshot_header *header, const void *bytes,
			    struct lm_snapshot_blob **ret_blobs, size_t *ret_count);

/* ---- serialise: the other direction, into the caller's bytes. */

/* Fills all LM_SNAPSHOT_HEADER_SIZE bytes, checksum included. */
void lm_snapshot_put_header(const struct lm_snapshot_header *header, void *bytes);

#define LM_REGION_BYTES ((size_t)16)
#define LM_BLOB_BYTES ((size_t)280)
void lm_snapshot_put_region(const struct lazymem_snapshot_region *region, void *bytes);
void lm_snapshot_put_chunk(const struct lm_chunk *chunk, void *bytes);
void lm_snapshot_put_blob(const struct lm_snapshot_blob *blob, void *bytes);

#endif
