/* SPDX-License-Identifier: MIT */
#include "elf_core.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define GUEST_PAGE 4096u

/* Does the table lie inside the file? The product cannot wrap: 32 and 16 bits. */
static int check_table(const struct elf_core *core, uint64_t file_length, struct parse_fault *fault)
{
	const uint64_t bytes = core->segment_count * core->entry_size;

	if (core->segment_count == 0)
		return parse_refuse(fault, "has no segments, and so no memory");
	if (core->table_offset > file_length || bytes > file_length - core->table_offset)
		return parse_refuse(fault,
				    "is truncated: the table of its %" PRIu64
				    " segments lies past its end",
				    core->segment_count);
	return 0;
}

static int check_identification(const unsigned char *ident, struct parse_fault *fault)
{
	if (memcmp(ident, ELFMAG, SELFMAG) != 0)
		return parse_refuse(fault, "is no ELF file");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return parse_refuse(fault, "is an ELF file of unknown class %u", ident[EI_CLASS]);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return parse_refuse(fault, "is no little-endian ELF file");
	return 0;
}

static int check_type(unsigned type, struct parse_fault *fault)
{
	if (type == ET_CORE)
		return 0;
	return parse_refuse(fault, "is an ELF file of type %u, and no core (%u)", type, ET_CORE);
}

static int check_entry(const struct elf_core *core, struct parse_fault *fault)
{
	const size_t least = core->is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (core->entry_size >= least)
		return 0;
	return parse_refuse(fault, "has segment headers of %zu bytes, fewer than %zu",
			    core->entry_size, least);
}

static int parse_header_64(const void *bytes, struct elf_core *core, struct parse_fault *fault)
{
	Elf64_Ehdr header;

	memcpy(&header, bytes, sizeof(header));
	core->is_64 = true;
	core->table_offset = header.e_phoff;
	core->segment_count = header.e_phnum;
	core->entry_size = header.e_phentsize;
	core->section_offset = header.e_shoff;
	return check_type(header.e_type, fault);
}

static int parse_header_32(const void *bytes, struct elf_core *core, struct parse_fault *fault)
{
	Elf32_Ehdr header;

	memcpy(&header, bytes, sizeof(header));
	core->is_64 = false;
	core->table_offset = header.e_phoff;
	core->segment_count = header.e_phnum;
	core->entry_size = header.e_phentsize;
	core->section_offset = header.e_shoff;
	return check_type(header.e_type, fault);
}

int elf_core_parse_header(const void *bytes, size_t length, uint64_t file_length,
			  struct elf_core *ret_core, struct parse_fault *fault)
{
	const unsigned char *ident = bytes;
	struct elf_core core = {0};
	bool is_64;
	int error;

	if (length < EI_NIDENT)
		return parse_refuse(fault, "is too short for an ELF file");
	error = check_identification(ident, fault);
	if (error != 0)
		return error;
	is_64 = ident[EI_CLASS] == ELFCLASS64;
	if (length < (is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return parse_refuse(fault, "is truncated: its ELF header is cut off");
	error = is_64 ? parse_header_64(bytes, &core, fault) : parse_header_32(bytes, &core, fault);
	if (error == 0)
		error = check_entry(&core, fault);
	if (error != 0)
		return error;
	core.count_in_section = core.segment_count == PN_XNUM;
	if (!core.count_in_section)
		error = check_table(&core, file_length, fault);
	if (error == 0)
		*ret_core = core;
	return error;
}

int elf_core_parse_section(const void *bytes, size_t length, uint64_t file_length,
			   struct elf_core *core, struct parse_fault *fault)
{
	const size_t at =
		core->is_64 ? offsetof(Elf64_Shdr, sh_info) : offsetof(Elf32_Shdr, sh_info);
	uint32_t count;

	if (length < at + sizeof(count))
		return parse_refuse(fault, "is truncated: its first section header is cut off");
	memcpy(&count, (const char *)bytes + at, sizeof(count));
	core->segment_count = count;
	return check_table(core, file_length, fault);
}

static bool get_segment(const struct elf_core *core, const void *entry,
			struct elf_segment *ret_segment)
{
	if (core->is_64) {
		Elf64_Phdr header;

		memcpy(&header, entry, sizeof(header));
		*ret_segment = (struct elf_segment){header.p_paddr, header.p_memsz, header.p_offset,
						    header.p_filesz};
		return header.p_type == PT_LOAD && header.p_memsz > 0;
	}
	Elf32_Phdr header;

	memcpy(&header, entry, sizeof(header));
	*ret_segment = (struct elf_segment){header.p_paddr, header.p_memsz, header.p_offset,
					    header.p_filesz};
	return header.p_type == PT_LOAD && header.p_memsz > 0;
}

static int check_segment(const struct elf_segment *segment, size_t index, uint64_t file_length,
			 struct parse_fault *fault)
{
	if (segment->stored > segment->length)
		return parse_refuse(fault,
				    "segment %zu has %" PRIu64
				    " bytes in the file, and only %" PRIu64 " in memory",
				    index, segment->stored, segment->length);
	if (segment->stored > 0 &&
	    (segment->offset > file_length || segment->stored > file_length - segment->offset))
		return parse_refuse(fault,
				    "is truncated: segment %zu [0x%" PRIx64 "+0x%" PRIx64
				    "] lies past its end",
				    index, segment->offset, segment->stored);
	if (segment->address % GUEST_PAGE != 0 || segment->length % GUEST_PAGE != 0)
		return parse_refuse(fault,
				    "segment %zu, guest memory [0x%" PRIx64 "+0x%" PRIx64
				    "], is not in whole pages",
				    index, segment->address, segment->length);
	if (segment->length - 1 > UINT64_MAX - segment->address)
		return parse_refuse(fault, "segment %zu wraps round the end of the address space",
				    index);
	return 0;
}

static int parse_segments(const struct elf_core *core, const unsigned char *table,
			  uint64_t file_length, struct elf_segment *segments, size_t *ret_count,
			  struct parse_fault *fault)
{
	uint64_t total = 0;
	size_t count = 0;

	for (size_t i = 0; i < core->segment_count; i++) {
		struct elf_segment *segment = &segments[count];
		int error;

		if (!get_segment(core, table + i * core->entry_size, segment))
			continue;
		error = check_segment(segment, i, file_length, fault);
		if (error != 0)
			return error;
		if (__builtin_add_overflow(total, segment->length, &total))
			return parse_refuse(fault, "has segments of more than 2^64 bytes");
		count++;
	}
	if (count == 0)
		return parse_refuse(fault, "has no segment that is memory");
	*ret_count = count;
	return 0;
}

int elf_core_parse_segments(const struct elf_core *core, const void *table, uint64_t file_length,
			    struct elf_segment **ret_segments, size_t *ret_count,
			    struct parse_fault *fault)
{
	struct elf_segment *segments = calloc(core->segment_count, sizeof(*segments));
	int error;

	if (segments == NULL) {
		parse_refuse(fault, "no memory for its %" PRIu64 " segments", core->segment_count);
		return -ENOMEM;
	}
	error = parse_segments(core, table, file_length, segments, ret_count, fault);
	if (error != 0) {
		free(segments);
		return error;
	}
	*ret_segments = segments;
	return 0;
}
