/* SPDX-License-Identifier: MIT */
#include "elf_payload.h"
#include "boot_layout.h"
#include "fault.h"

#include <elf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static int check_header(const Elf64_Ehdr *header, size_t length)
{
	const uint64_t table = (uint64_t)header->e_phnum * sizeof(Elf64_Phdr);

	if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return fault("is no ELF file");
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return fault("is no ELF file for x86-64");
	if (header->e_type != ET_EXEC)
		return fault("is an ELF file of type %u, and no program at fixed addresses (%u)",
			     header->e_type, ET_EXEC);
	if (header->e_phentsize != sizeof(Elf64_Phdr))
		return fault("has segment headers of %u bytes, and not %zu", header->e_phentsize,
			     sizeof(Elf64_Phdr));
	if (header->e_phoff > length || table > length - header->e_phoff)
		return fault("is truncated: the table of its %u segments lies past its end",
			     header->e_phnum);
	return 0;
}

static int check_segment(const Elf64_Phdr *header, unsigned index, size_t length)
{
	if (header->p_filesz > header->p_memsz)
		return fault("segment %u has %" PRIu64 " bytes in the file, and only %" PRIu64
			     " in memory",
			     index, header->p_filesz, header->p_memsz);
	if (header->p_offset > length || header->p_filesz > length - header->p_offset)
		return fault("is truncated: segment %u [0x%" PRIx64 "+0x%" PRIx64
			     "] lies past its end",
			     index, header->p_offset, header->p_filesz);
	if (header->p_paddr < BOOT_PAYLOAD)
		return fault("segment %u lies at 0x%" PRIx64
			     ", below 0x%x, where the machine keeps its tables",
			     index, header->p_paddr, BOOT_PAYLOAD);
	if (header->p_memsz > UINT64_MAX - header->p_paddr)
		return fault("segment %u wraps round the end of the address space", index);
	return 0;
}

static int take_segment(const unsigned char *bytes, size_t length, unsigned index,
			const Elf64_Phdr *header, struct elf_payload *payload)
{
	struct elf_payload_segment *segment = &payload->segments[payload->segment_count];

	if (header->p_type != PT_LOAD || header->p_memsz == 0)
		return 0;
	if (payload->segment_count == ELF_PAYLOAD_SEGMENTS_MAX)
		return fault("has more than %d segments", ELF_PAYLOAD_SEGMENTS_MAX);
	if (check_segment(header, index, length) != 0)
		return -1;
	*segment = (struct elf_payload_segment){header->p_paddr, header->p_memsz,
						bytes + header->p_offset, header->p_filesz};
	payload->segment_count++;
	if (header->p_paddr + header->p_memsz > payload->end)
		payload->end = header->p_paddr + header->p_memsz;
	return 0;
}

static bool is_inside(const struct elf_payload *payload, uint64_t address)
{
	for (size_t i = 0; i < payload->segment_count; i++) {
		if (address >= payload->segments[i].address &&
		    address - payload->segments[i].address < payload->segments[i].stored)
			return true;
	}
	return false;
}

int elf_payload_parse(const unsigned char *bytes, size_t length, struct elf_payload *ret_payload)
{
	struct elf_payload payload = {0};
	Elf64_Ehdr header;

	if (length < sizeof(header))
		return fault("is too short for an ELF file: %zu bytes", length);
	memcpy(&header, bytes, sizeof(header));
	if (check_header(&header, length) != 0)
		return -1;
	payload.entry = header.e_entry;
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr segment;

		memcpy(&segment, bytes + header.e_phoff + i * sizeof(segment), sizeof(segment));
		if (take_segment(bytes, length, i, &segment, &payload) != 0)
			return -1;
	}
	if (payload.segment_count == 0)
		return fault("has no segment to load");
	if (!is_inside(&payload, payload.entry))
		return fault("begins at 0x%" PRIx64 ", where none of its segments is",
			     payload.entry);
	*ret_payload = payload;
	return 0;
}
