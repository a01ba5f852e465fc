/* SPDX-License-Identifier: MIT
 *
 * mapped_ram.h - where the pages of a RAM block are in a migration file that
 * QEMU wrote with the mapped-ram capability. Format: QEMU's
 * docs/devel/migration/mapped-ram and main (the stream around it).
 *
 *   "QEVM", version 3; the configuration section, which names the
 *   capabilities; the start of section "ram", with the length of all blocks;
 *   for each block its name, its length and the mapped-ram header, which says
 *   where its bitmap and its pages are; the next block begins where its pages
 *   end.
 *
 * Numbers are big-endian; the bitmap is of little-endian words, as an x86 or
 * an ARM host writes it. A clear bit is a page of zeros, whatever the file
 * holds there.
 */
#ifndef LAZYMEM_TOOL_MAPPED_RAM_H
#define LAZYMEM_TOOL_MAPPED_RAM_H

#include "parse_fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many bytes of the beginning of the file, or of a block, are enough. */
#define MAPPED_RAM_HEAD_MAX ((size_t)65536)
#define MAPPED_RAM_BLOCK_MAX ((size_t)512)

struct mapped_ram_head {
	uint64_t first;     /* where the first block begins in the file */
	uint64_t total;     /* length of all blocks */
	bool ignore_shared; /* blocks have an address, and may be without pages */
};

struct mapped_ram_block {
	char name[256];
	uint64_t length; /* bytes of memory */
	bool is_stored;  /* false: shared memory, which is not in the file */
	bool may_be_shared;
	uint64_t page_size;
	uint64_t bitmap_offset; /* in the file */
	uint64_t bitmap_length; /* bytes */
	uint64_t pages_offset;  /* of page 0, in the file */
	uint64_t next;          /* where the next block begins in the file */
};

/* The beginning of the file. -EBADMSG. */
int mapped_ram_parse_head(const void *bytes, size_t length, struct mapped_ram_head *ret_head,
			  struct parse_fault *fault);

/* The block that begins at `offset` of the file; of it, `length` bytes. What is
 * accepted has its bitmap inside the file. -EBADMSG. */
int mapped_ram_parse_block(const struct mapped_ram_head *head, const void *bytes, size_t length,
			   uint64_t offset, uint64_t file_length,
			   struct mapped_ram_block *ret_block, struct parse_fault *fault);

/* The next run of pages that are in the file, from page `from` on: its first
 * page and, returned, their number; 0 when there is none. */
uint64_t mapped_ram_next_run(const struct mapped_ram_block *block, const void *bitmap,
			     uint64_t from, uint64_t *ret_first);

#endif
