/* SPDX-License-Identifier: MIT
 *
 * overlay_format.c - the header and the sectors of the map of an overlay.
 *
 * Where everything lies follows from the length alone, so there is no offset in
 * the file that could be wrong. The checksum of a sector of the map begins with
 * the key of the file and the number of the sector: bytes that a file system has
 * left over from another overlay, or put in another place, do not pass for it. A
 * sector that was never written does not, either: all of them are, when the file
 * is made, so that a hole in the map is damage and not blocks of the base.
 */
#include "backing/overlay_format.h"

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/little_endian.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define VERSION 1u
#define SECTOR_BLOCKS (LM_OVERLAY_SECTOR_WORDS * LM_OVERLAY_WORD_BLOCKS)
#define EVEN_BITS UINT64_C(0x5555555555555555)

static const char magic[8] = {'L', 'Z', 'M', 'O', 'V', 'E', 'R', 'L'};

/* Byte offsets in the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEADER_LENGTH = 12,
	AT_BLOCK_SIZE = 16,
	AT_RESERVED_WORD = 20,
	AT_LENGTH = 24,
	AT_KEY = 32,
	AT_BASE = 40,
	AT_RESERVED = 72,
	AT_CHECKSUM = 4092,
};

/* Byte offsets in a sector. */
enum {
	AT_SECTOR_RESERVED = 504,
	AT_SECTOR_CHECKSUM = 508,
};

uint64_t lm_overlay_blocks(uint64_t length)
{
	return length / LM_OVERLAY_BLOCK + (length % LM_OVERLAY_BLOCK != 0);
}

uint64_t lm_overlay_sectors(uint64_t length)
{
	const uint64_t blocks = lm_overlay_blocks(length);

	return blocks / SECTOR_BLOCKS + (blocks % SECTOR_BLOCKS != 0);
}

uint64_t lm_overlay_data_start(uint64_t length)
{
	const uint64_t map_end = LM_OVERLAY_HEADER + lm_overlay_sectors(length) * LM_OVERLAY_SECTOR;

	return lm_align_down(map_end + LM_OVERLAY_BLOCK - 1, LM_OVERLAY_BLOCK);
}

uint64_t lm_overlay_file_length(uint64_t length)
{
	return lm_overlay_data_start(length) + lm_overlay_blocks(length) * LM_OVERLAY_BLOCK;
}

/* ---- header --------------------------------------------------------------- */

void lm_overlay_put_header(const struct lm_overlay_header *header, unsigned char *to)
{
	memset(to, 0, LM_OVERLAY_HEADER);
	memcpy(to + AT_MAGIC, magic, sizeof(magic));
	lm_put_u32(to + AT_VERSION, VERSION);
	lm_put_u32(to + AT_HEADER_LENGTH, LM_OVERLAY_HEADER);
	lm_put_u32(to + AT_BLOCK_SIZE, LM_OVERLAY_BLOCK);
	lm_put_u64(to + AT_LENGTH, header->length);
	lm_put_u64(to + AT_KEY, header->key);
	memcpy(to + AT_BASE, header->base.bytes, sizeof(header->base.bytes));
	lm_put_u32(to + AT_CHECKSUM, lm_crc32c(0, to, AT_CHECKSUM));
}

/* Is it an overlay of this version, unchanged since it was written? */
static int check_frame(const unsigned char *from)
{
	uint32_t number;

	if (memcmp(from + AT_MAGIC, magic, sizeof(magic)) != 0)
		return lm_error(-EBADMSG, "it does not begin with LZMOVERL");
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

static int check_constants(const unsigned char *from)
{
	uint32_t number = lm_get_u32(from + AT_HEADER_LENGTH);

	if (number != LM_OVERLAY_HEADER)
		return lm_error(-EBADMSG, "header length %" PRIu32 ", not %zu", number,
				LM_OVERLAY_HEADER);
	number = lm_get_u32(from + AT_BLOCK_SIZE);
	if (number != LM_OVERLAY_BLOCK)
		return lm_error(-EBADMSG, "blocks of %" PRIu32 " bytes, not 4096", number);
	if (lm_get_u32(from + AT_RESERVED_WORD) != 0)
		return lm_error(-EBADMSG, "reserved byte %d of the header is not zero",
				AT_RESERVED_WORD);
	for (int i = AT_RESERVED; i < AT_CHECKSUM; i++)
		if (from[i] != 0)
			return lm_error(-EBADMSG, "reserved byte %d of the header is not zero", i);
	return 0;
}

int lm_overlay_parse_header(const unsigned char *from, uint64_t file_length,
			    struct lm_overlay_header *ret_header)
{
	struct lm_overlay_header header;
	int error = check_frame(from);

	if (error == 0)
		error = check_constants(from);
	if (error != 0)
		return error;
	header.length = lm_get_u64(from + AT_LENGTH);
	header.key = lm_get_u64(from + AT_KEY);
	memcpy(header.base.bytes, from + AT_BASE, sizeof(header.base.bytes));
	if (header.length == 0 || header.length > LM_OVERLAY_LONGEST)
		return lm_error(-EBADMSG, "%" PRIu64 " bytes, not 1 to 2^56", header.length);
	if (file_length != lm_overlay_file_length(header.length))
		return lm_error(-EBADMSG,
				"the file has %" PRIu64 " bytes; for an overlay of %" PRIu64
				" it must have %" PRIu64,
				file_length, header.length, lm_overlay_file_length(header.length));
	if (lm_identity_is_none(&header.base))
		return lm_error(-EBADMSG, "the identity of its base is all zeros");
	*ret_header = header;
	return 0;
}

/* ---- map ------------------------------------------------------------------ */

static uint32_t sum_of(const struct lm_overlay_header *header, uint64_t number,
		       const unsigned char *sector)
{
	unsigned char place[16];

	lm_put_u64(place, header->key);
	lm_put_u64(place + 8, number);
	return lm_crc32c(lm_crc32c(0, place, sizeof(place)), sector, AT_SECTOR_CHECKSUM);
}

void lm_overlay_put_sector(const struct lm_overlay_header *header, uint64_t number,
			   const uint64_t *words, unsigned char *to)
{
	for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++)
		lm_put_u64(to + i * sizeof(*words), words[i]);
	lm_put_u32(to + AT_SECTOR_RESERVED, 0);
	lm_put_u32(to + AT_SECTOR_CHECKSUM, sum_of(header, number, to));
}

/* The bits of a word that stand for blocks of the object. */
static uint64_t bits_in_use(uint64_t blocks, uint64_t word)
{
	const uint64_t first = word * LM_OVERLAY_WORD_BLOCKS;

	if (first >= blocks)
		return 0;
	return blocks - first >= LM_OVERLAY_WORD_BLOCKS
		       ? UINT64_MAX
		       : (UINT64_C(1) << (2 * (blocks - first))) - 1;
}

int lm_overlay_parse_sector(const struct lm_overlay_header *header, uint64_t number,
			    const unsigned char *from, uint64_t *ret_words)
{
	const uint64_t blocks = lm_overlay_blocks(header->length);

	if (lm_get_u32(from + AT_SECTOR_CHECKSUM) != sum_of(header, number, from))
		return lm_error(-EBADMSG,
				"the checksum of sector %" PRIu64 " of its map does not match",
				number);
	if (lm_get_u32(from + AT_SECTOR_RESERVED) != 0)
		return lm_error(-EBADMSG,
				"reserved bytes of sector %" PRIu64 " of its map are not zero",
				number);
	for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++) {
		const uint64_t word = lm_get_u64(from + i * sizeof(word));

		if ((word & ~bits_in_use(blocks, number * LM_OVERLAY_SECTOR_WORDS + i)) != 0 ||
		    (word & word >> 1 & EVEN_BITS) != 0)
			return lm_error(-EBADMSG,
					"word %zu of sector %" PRIu64
					" of its map has a state that there is not",
					i, number);
		ret_words[i] = word;
	}
	return 0;
}
