/* SPDX-License-Identifier: MIT
 *
 * overlay_format.h - the file of an overlay as bytes and as structs, version 1;
 * lazymem-overlay(5) is its description to the byte. Nothing here does I/O.
 */
#ifndef LM_OVERLAY_FORMAT_H
#define LM_OVERLAY_FORMAT_H

#include <lazymem/common.h>
#include <stddef.h>
#include <stdint.h>

#define LM_OVERLAY_BLOCK UINT64_C(4096)
#define LM_OVERLAY_HEADER ((size_t)4096)
#define LM_OVERLAY_LONGEST (UINT64_C(1) << 56)

/* What a disk writes as a whole, and so a piece of the map with its checksum. */
#define LM_OVERLAY_SECTOR ((size_t)512)

/* A word has the states of 32 blocks, two bits each, the first one lowest. */
#define LM_OVERLAY_WORD_BLOCKS UINT64_C(32)
#define LM_OVERLAY_SECTOR_WORDS ((size_t)63)

/* The numbers are those of the file. */
enum lm_overlay_state {
	LM_OVERLAY_BASE = 0, /* as in the base */
	LM_OVERLAY_DATA = 1, /* at its place in the file */
	LM_OVERLAY_ZERO = 2, /* zero, whatever the file has there */
};

struct lm_overlay_header {
	uint64_t length; /* of the object: bytes */
	uint64_t key;    /* at random: a sector of another file is not taken for one of this */
	struct lazymem_identity base;
};

uint64_t lm_overlay_blocks(uint64_t length);
uint64_t lm_overlay_sectors(uint64_t length);

/* The map begins after the header; the first block at this byte, where the last
 * one ends ends the file. The length is at most LM_OVERLAY_LONGEST. */
uint64_t lm_overlay_data_start(uint64_t length);
uint64_t lm_overlay_file_length(uint64_t length);

void lm_overlay_put_header(const struct lm_overlay_header *header, unsigned char *to);

/* Of a file of that length. -EBADMSG, -EPROTONOSUPPORT. */
int lm_overlay_parse_header(const unsigned char *from, uint64_t file_length,
			    struct lm_overlay_header *ret_header);

/* One sector of the map: LM_OVERLAY_SECTOR_WORDS words. */
void lm_overlay_put_sector(const struct lm_overlay_header *header, uint64_t number,
			   const uint64_t *words, unsigned char *to);

/* -EBADMSG. */
int lm_overlay_parse_sector(const struct lm_overlay_header *header, uint64_t number,
			    const unsigned char *from, uint64_t *ret_words);

#endif
