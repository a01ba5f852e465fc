/* SPDX-License-Identifier: MIT */
#include "program_elf.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

/* What the kernel looks at of a script. */
#define SCRIPT_LINE_MOST ((size_t)256)

/* Of either class, as wide as the wider one. */
struct header {
	unsigned type;
	unsigned machine;
	uint64_t table_offset;
	uint64_t entry_size;
	uint64_t entry_count;
};

struct segment {
	uint32_t type;
	uint64_t offset;
	uint64_t length;
};

bool program_is_elf(const void *bytes, size_t length)
{
	return length >= SELFMAG && memcmp(bytes, ELFMAG, SELFMAG) == 0;
}

static struct header get_header(const void *bytes, bool is_64)
{
	if (is_64) {
		Elf64_Ehdr header;

		memcpy(&header, bytes, sizeof(header));
		return (struct header){header.e_type, header.e_machine, header.e_phoff,
				       header.e_phentsize, header.e_phnum};
	}
	Elf32_Ehdr header;

	memcpy(&header, bytes, sizeof(header));
	return (struct header){header.e_type, header.e_machine, header.e_phoff, header.e_phentsize,
			       header.e_phnum};
}

static struct segment get_segment(const void *bytes, bool is_64)
{
	if (is_64) {
		Elf64_Phdr segment;

		memcpy(&segment, bytes, sizeof(segment));
		return (struct segment){segment.p_type, segment.p_offset, segment.p_filesz};
	}
	Elf32_Phdr segment;

	memcpy(&segment, bytes, sizeof(segment));
	return (struct segment){segment.p_type, segment.p_offset, segment.p_filesz};
}

static int parse_header(const unsigned char *bytes, size_t length, struct header *ret_header,
			struct parse_fault *fault)
{
	const unsigned elf_class = length >= EI_NIDENT ? bytes[EI_CLASS] : ELFCLASSNONE;
	const bool is_64 = elf_class == ELFCLASS64;

	if (!program_is_elf(bytes, length))
		return parse_refuse(fault, "is no ELF file");
	if (length < EI_NIDENT || length < (is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return parse_refuse(fault, "is truncated: its ELF header is cut off");
	if (elf_class != ELFCLASS32 && elf_class != ELFCLASS64)
		return parse_refuse(fault, "is an ELF file of unknown class %u", elf_class);
	if (bytes[EI_DATA] != ELFDATA2LSB)
		return parse_refuse(fault, "is no little-endian ELF file");
	*ret_header = get_header(bytes, is_64);
	return 0;
}

static int check_header(const struct header *header, bool is_64, size_t length,
			struct parse_fault *fault)
{
	const size_t least = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (header->type != ET_EXEC && header->type != ET_DYN)
		return parse_refuse(fault, "is an ELF file of type %u, and no program",
				    header->type);
	if (header->entry_count > 0 && header->entry_size < least)
		return parse_refuse(fault,
				    "has segment headers of %" PRIu64 " bytes, fewer than %zu",
				    header->entry_size, least);
	if (header->table_offset > length ||
	    header->entry_count * header->entry_size > length - header->table_offset)
		return parse_refuse(fault, "is truncated: its segment headers lie past its end");
	return 0;
}

/* The name of the loader; it ends inside the file. */
static int take_loader(const char *bytes, size_t length, const struct segment *segment,
		       struct program_elf *program, struct parse_fault *fault)
{
	if (segment->offset > length || segment->length > length - segment->offset)
		return parse_refuse(fault,
				    "is truncated: the name of its loader lies past its end");
	if (segment->length == 0 || bytes[segment->offset + segment->length - 1] != '\0')
		return parse_refuse(fault, "has a loader whose name does not end");
	program->loader = bytes + segment->offset;
	return 0;
}

int program_elf_parse(const void *bytes, size_t length, struct program_elf *ret_program,
		      struct parse_fault *fault)
{
	struct program_elf program = {0};
	struct header header = {0};
	int error = parse_header(bytes, length, &header, fault);
	bool is_64;

	if (error != 0)
		return error;
	program.elf_class = ((const unsigned char *)bytes)[EI_CLASS];
	program.machine = header.machine;
	is_64 = program.elf_class == ELFCLASS64;
	error = check_header(&header, is_64, length, fault);
	for (uint64_t i = 0; error == 0 && i < header.entry_count; i++) {
		const struct segment segment = get_segment(
			(const char *)bytes + header.table_offset + i * header.entry_size, is_64);

		if (segment.type == PT_INTERP && program.loader == NULL)
			error = take_loader(bytes, length, &segment, &program, fault);
	}
	if (error == 0)
		*ret_program = program;
	return error;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

int program_elf_check(const struct program_elf *program, const struct program_elf *own,
		      struct parse_fault *fault)
{
	if (program->elf_class != own->elf_class)
		return parse_refuse(fault,
				    "is a program of %d bits, and no library of %d bits can be "
				    "loaded into it",
				    program->elf_class == ELFCLASS64 ? 64 : 32,
				    own->elf_class == ELFCLASS64 ? 64 : 32);
	if (program->machine != own->machine)
		return parse_refuse(fault, "is a program for another machine (%u, this is %u)",
				    program->machine, own->machine);
	if (program->loader == NULL)
		return parse_refuse(fault, "is statically linked, so no library can be loaded into "
					   "it");
	if (own->loader != NULL && strcmp(last_part(program->loader), last_part(own->loader)) != 0)
		return parse_refuse(fault, "is loaded by %.80s, and our library is made for %.80s",
				    program->loader, own->loader);
	return 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool program_script_interpreter(const void *bytes, size_t length, const char **ret_name,
				size_t *ret_length)
{
	const char *at = bytes;
	const char *end;
	size_t name;

	if (length < 2 || at[0] != '#' || at[1] != '!')
		return false;
	if (length > SCRIPT_LINE_MOST)
		length = SCRIPT_LINE_MOST;
	end = at + length;
	for (at += 2; at < end && is_blank(*at);)
		at++;
	for (name = 0;
	     at + name < end && !is_blank(at[name]) && at[name] != '\n' && at[name] != '\0';)
		name++;
	*ret_name = at;
	*ret_length = name;
	return name > 0;
}
