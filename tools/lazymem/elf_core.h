/* SPDX-License-Identifier: MIT
 *
 * elf_core.h - the segments of an ELF core file of a guest, as QEMU's
 * dump-guest-memory writes it: the physical address of a segment is its guest
 * address. Format: System V ABI, elf(5).
 */
#ifndef LAZYMEM_TOOL_ELF_CORE_H
#define LAZYMEM_TOOL_ELF_CORE_H

#include "parse_fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ELF_CORE_HEADER_MAX ((size_t)64)
#define ELF_CORE_SECTION_MAX ((size_t)64)

struct elf_core {
	bool is_64;
	bool count_in_section;   /* too many segments for the header: see section 0 */
	uint64_t section_offset; /* of section 0, then */
	uint64_t table_offset;   /* of the segments */
	uint64_t segment_count;
	size_t entry_size;
};

/* Memory [address, +length) of the guest: the first `stored` bytes are in the
 * file from `offset` on, the rest is zero. */
struct elf_segment {
	uint64_t address;
	uint64_t length;
	uint64_t offset;
	uint64_t stored;
};

/* The beginning of a file that has file_length bytes. -EBADMSG. */
int elf_core_parse_header(const void *bytes, size_t length, uint64_t file_length,
			  struct elf_core *ret_core, struct parse_fault *fault);

/* With count_in_section: the bytes at section_offset. -EBADMSG. */
int elf_core_parse_section(const void *bytes, size_t length, uint64_t file_length,
			   struct elf_core *core, struct parse_fault *fault);

/* The table: segment_count * entry_size bytes, which lie inside the file. The
 * segments that are memory, in their order, for the caller to free. -EBADMSG,
 * -ENOMEM. */
int elf_core_parse_segments(const struct elf_core *core, const void *table, uint64_t file_length,
			    struct elf_segment **ret_segments, size_t *ret_count,
			    struct parse_fault *fault);

#endif
