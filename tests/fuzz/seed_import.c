/* SPDX-License-Identifier: MIT
 *
 * seed_import.c - small files of other monitors for a fuzzer to begin with: ELF
 * cores and migration files of QEMU.
 *
 *   seed_import ELF-DIRECTORY MAPPED-RAM-DIRECTORY
 */
#include "tests/fuzz/seed_file.h"

#include <elf.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>

/* ---- ELF ------------------------------------------------------------------------ */

#define SEGMENTS 3

static void identify(unsigned char *ident, unsigned char class)
{
	memcpy(ident, ELFMAG, SELFMAG);
	ident[EI_CLASS] = class;
	ident[EI_DATA] = ELFDATA2LSB;
	ident[EI_VERSION] = EV_CURRENT;
}

/* A note, memory with a tail of zeros, and memory above 4 GiB. */
static void fill_segments(Elf64_Phdr *segments)
{
	segments[0] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = 512, .p_filesz = 20};
	segments[1] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = 512,
		.p_filesz = 100,
		.p_memsz = 0x10000,
	};
	segments[2] = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_paddr = UINT64_C(1) << 32,
		.p_memsz = 0x5000,
	};
}

/* With the count where it belongs, or in section 0. */
static int save_elf_64(const char *directory, const char *name, int count_in_section)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Shdr section;
		Elf64_Phdr segments[SEGMENTS];
		char memory[512];
	} file;

	memset(&file, 0, sizeof(file));
	identify(file.header.e_ident, ELFCLASS64);
	file.header.e_type = ET_CORE;
	file.header.e_machine = EM_X86_64;
	file.header.e_phoff = offsetof(__typeof__(file), segments);
	file.header.e_phentsize = sizeof(Elf64_Phdr);
	file.header.e_phnum = count_in_section ? PN_XNUM : SEGMENTS;
	file.header.e_shoff = offsetof(__typeof__(file), section);
	file.section.sh_info = SEGMENTS;
	fill_segments(file.segments);
	return write_seed(directory, name, &file, sizeof(file));
}

static int save_elf_32(const char *directory)
{
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr segments[1];
		char memory[512];
	} file;

	memset(&file, 0, sizeof(file));
	identify(file.header.e_ident, ELFCLASS32);
	file.header.e_type = ET_CORE;
	file.header.e_phoff = offsetof(__typeof__(file), segments);
	file.header.e_phentsize = sizeof(Elf32_Phdr);
	file.header.e_phnum = 1;
	file.segments[0] = (Elf32_Phdr){
		.p_type = PT_LOAD,
		.p_offset = offsetof(__typeof__(file), memory),
		.p_filesz = sizeof(file.memory),
		.p_memsz = 0x3000,
	};
	return write_seed(directory, "elf-32", &file, sizeof(file));
}

/* ---- mapped-ram ------------------------------------------------------------------- */

struct stream {
	unsigned char bytes[2048];
	size_t length;
};

static void put_number(struct stream *stream, uint64_t number, size_t length)
{
	number = htobe64(number);
	memcpy(stream->bytes + stream->length, (char *)&number + sizeof(number) - length, length);
	stream->length += length;
}

static void put_name(struct stream *stream, const char *name)
{
	const size_t length = strlen(name);

	put_number(stream, length, 1);
	memcpy(stream->bytes + stream->length, name, length);
	stream->length += length;
}

static void put_capabilities(struct stream *stream, int ignore_shared)
{
	put_number(stream, 0x05, 1);
	put_name(stream, "configuration/capabilities");
	put_number(stream, 1, 4);
	put_number(stream, ignore_shared ? 2 : 1, 4);
	put_name(stream, "mapped-ram");
	if (ignore_shared)
		put_name(stream, "x-ignore-shared");
}

static void put_head(struct stream *stream, int ignore_shared, uint64_t total)
{
	memcpy(stream->bytes, "QEVM", 4);
	stream->length = 4;
	put_number(stream, 3, 4);
	put_number(stream, 0x07, 1);
	put_number(stream, 2, 4);
	memcpy(stream->bytes + stream->length, "pc", 2);
	stream->length += 2;
	put_number(stream, 0x05, 1);
	put_name(stream, "configuration/target-page-bits");
	put_number(stream, 1, 4);
	put_number(stream, 12, 4);
	put_capabilities(stream, ignore_shared);
	put_number(stream, 0x01, 1);
	put_number(stream, 2, 4);
	put_name(stream, "ram");
	put_number(stream, 0, 4);
	put_number(stream, 4, 4);
	put_number(stream, total | 0x04, 8);
}

/* Its bitmap begins 64 bytes on, its pages 128; of the last block they lie past
 * the end, which only matters to whoever reads them. */
static void put_block(struct stream *stream, const char *name, uint64_t pages, int ignore_shared)
{
	const size_t start = stream->length;

	put_name(stream, name);
	put_number(stream, pages * 1024, 8);
	if (ignore_shared)
		put_number(stream, 0, 8);
	put_number(stream, 1, 4);
	put_number(stream, 1024, 8);
	put_number(stream, start + 64, 8);
	put_number(stream, start + 128, 8);
	stream->bytes[start + 64] = 0x37;
	stream->length = start + 128;
}

static int save_mapped_ram(const char *directory, const char *name, int ignore_shared)
{
	struct stream stream;

	memset(&stream, 0, sizeof(stream));
	put_head(&stream, ignore_shared, 9 * 1024);
	put_block(&stream, "vga.vram", 1, ignore_shared);
	stream.length += 1024;
	put_block(&stream, "pc.ram", 8, ignore_shared);
	return write_seed(directory, name, stream.bytes, stream.length);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: seed_import ELF-DIRECTORY MAPPED-RAM-DIRECTORY\n");
		return 2;
	}
	if (save_elf_64(argv[1], "elf-64", 0) != 0 || save_elf_64(argv[1], "in-section", 1) != 0 ||
	    save_elf_32(argv[1]) != 0 || save_mapped_ram(argv[2], "plain", 0) != 0 ||
	    save_mapped_ram(argv[2], "ignore-shared", 1) != 0)
		return 1;
	return 0;
}
