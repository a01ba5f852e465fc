/* SPDX-License-Identifier: MIT
 *
 * make_file - files for the tests of the lazymem command: images in foreign
 * formats, made here from their descriptions, and traces.
 *
 *   make_file elf|elf32|qemu|qemu-shared OUTPUT   and the guest memory in OUTPUT.raw
 *   make_file trace OUTPUT PAGE-SIZE IDENTITY START LENGTH [START LENGTH]...
 *
 * IDENTITY is 64 hexadecimal digits, the name of a raw image that has a slash in
 * it, or -.
 */
#include <elf.h>
#include <lazymem/common.h>
#include <lazymem/file.h>
#include <lazymem/trace.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE ((size_t)4096)
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "make_file: %s\n", what);
	exit(1);
}

/* ---- bytes ------------------------------------------------------------------------ */

static FILE *create(const char *path, const char *suffix)
{
	char name[4096];
	FILE *file;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	file = fopen(name, "w");
	if (file == NULL)
		fail(name);
	return file;
}

static void put(FILE *file, const void *bytes, size_t length)
{
	if (fwrite(bytes, 1, length, file) != length)
		fail("short write");
}

static void put_zeros(FILE *file, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fputc(0, file);
}

/* Bytes that are never zero, and other ones for every seed. */
static void put_pattern(FILE *file, size_t length, unsigned seed)
{
	uint32_t state = seed * 2654435761u + 1;

	for (size_t i = 0; i < length; i++) {
		state = state * 1664525u + 1013904223u;
		fputc((int)(state >> 24 | 1), file);
	}
}

static void put_big(FILE *file, uint64_t value, unsigned bytes)
{
	for (unsigned i = bytes; i > 0; i--)
		fputc((int)(value >> 8 * (i - 1) & 0xff), file);
}

static void pad_to(FILE *file, long offset)
{
	while (ftell(file) < offset)
		fputc(0xa5, file);
}

/* ---- ELF ---------------------------------------------------------------------------- */

struct segment {
	uint64_t address;
	size_t length;
	size_t stored;
};

/* Not in the order of their addresses; one ends in zeros, one is nothing else;
 * the third one's data are as long as a page and a bit. */
static const struct segment segments[] = {
	{0x100000, 16 * PAGE, 16 * PAGE},
	{0x0, 8 * PAGE, 3 * PAGE + 123},
	{0x400000, 4 * PAGE, 0},
	{0x100000000, 2 * PAGE, 2 * PAGE},
};

#define DATA_OFFSET 0x448u /* not aligned to anything */

static void put_header_64(FILE *file)
{
	Elf64_Ehdr header = {.e_type = ET_CORE,
			     .e_machine = EM_X86_64,
			     .e_version = EV_CURRENT,
			     .e_phoff = sizeof(header),
			     .e_ehsize = sizeof(header),
			     .e_phentsize = sizeof(Elf64_Phdr),
			     .e_phnum = COUNT(segments) + 1};
	Elf64_Phdr program = {.p_type = PT_NOTE, .p_offset = 0x300, .p_filesz = 16};
	uint64_t offset = DATA_OFFSET;

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	put(file, &header, sizeof(header));
	put(file, &program, sizeof(program));
	for (size_t i = 0; i < COUNT(segments); i++) {
		program = (Elf64_Phdr){.p_type = PT_LOAD,
				       .p_offset = offset,
				       .p_vaddr = 0xffff800000000000 + segments[i].address,
				       .p_paddr = segments[i].address,
				       .p_filesz = segments[i].stored,
				       .p_memsz = segments[i].length};
		put(file, &program, sizeof(program));
		offset += segments[i].stored;
	}
}

/* Without the last segment, whose address does not fit. */
static void put_header_32(FILE *file)
{
	Elf32_Ehdr header = {.e_type = ET_CORE,
			     .e_machine = EM_386,
			     .e_version = EV_CURRENT,
			     .e_phoff = sizeof(header),
			     .e_ehsize = sizeof(header),
			     .e_phentsize = sizeof(Elf32_Phdr),
			     .e_phnum = COUNT(segments) - 1};
	uint32_t offset = DATA_OFFSET;

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS32;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	put(file, &header, sizeof(header));
	for (size_t i = 0; i < COUNT(segments) - 1; i++) {
		const Elf32_Phdr program = {.p_type = PT_LOAD,
					    .p_offset = offset,
					    .p_paddr = (uint32_t)segments[i].address,
					    .p_filesz = (uint32_t)segments[i].stored,
					    .p_memsz = (uint32_t)segments[i].length};

		put(file, &program, sizeof(program));
		offset += (uint32_t)segments[i].stored;
	}
}

static void make_elf(const char *path, size_t count)
{
	FILE *file = create(path, "");
	FILE *raw = create(path, ".raw");

	if (count == COUNT(segments))
		put_header_64(file);
	else
		put_header_32(file);
	pad_to(file, DATA_OFFSET);
	for (size_t i = 0; i < count; i++) {
		put_pattern(file, segments[i].stored, (unsigned)i);
		put_pattern(raw, segments[i].stored, (unsigned)i);
		put_zeros(raw, segments[i].length - segments[i].stored);
	}
	if (fclose(file) != 0 || fclose(raw) != 0)
		fail("close");
}

/* ---- QEMU ----------------------------------------------------------------------------- */

#define PAGES_ALIGNMENT 0x100000
#define RAM_PAGES 100u
#define VRAM_PAGES 16u

static void put_name(FILE *file, const char *name)
{
	fputc((int)strlen(name), file);
	put(file, name, strlen(name));
}

static void put_head(FILE *file, bool shared)
{
	static const char machine[] = "pc-i440fx-10.0";

	put(file, "QEVM", 4);
	put_big(file, 3, 4);
	fputc(0x07, file);
	put_big(file, strlen(machine), 4);
	put(file, machine, strlen(machine));
	fputc(0x05, file);
	put_name(file, "configuration/capabilities");
	put_big(file, 1, 4);
	put_big(file, shared ? 2 : 1, 4);
	if (shared)
		put_name(file, "x-ignore-shared");
	put_name(file, "mapped-ram");
	fputc(0x05, file);
	put_name(file, "configuration/target-page-bits");
	put_big(file, 1, 4);
	put_big(file, 12, 4);
	fputc(0x01, file);
	put_big(file, 2, 4);
	put_name(file, "ram");
	put_big(file, 0, 4);
	put_big(file, 4, 4);
	put_big(file, (RAM_PAGES + VRAM_PAGES) * PAGE | 0x4, 8);
}

/* Every third page, and the last one. */
static bool is_stored(unsigned page)
{
	return page % 3 == 1 || page == RAM_PAGES - 1;
}

static void put_block(FILE *file, const char *name, unsigned pages, bool shared)
{
	unsigned char bitmap[(RAM_PAGES + 63) / 64 * 8] = {0};
	const size_t bitmap_length = (pages + 63) / 64 * 8;
	long bitmap_offset;
	long pages_offset;

	put_name(file, name);
	put_big(file, pages * PAGE, 8);
	if (shared)
		put_big(file, 0, 8);
	bitmap_offset = ftell(file) + 28;
	pages_offset = (bitmap_offset + (long)bitmap_length + PAGES_ALIGNMENT - 1) /
		       PAGES_ALIGNMENT * PAGES_ALIGNMENT;
	put_big(file, 1, 4);
	put_big(file, PAGE, 8);
	put_big(file, (uint64_t)bitmap_offset, 8);
	put_big(file, (uint64_t)pages_offset, 8);
	for (unsigned page = 0; page < pages; page++)
		bitmap[page / 8] |= (unsigned char)((is_stored(page) ? 1 : 0) << page % 8);
	put(file, bitmap, bitmap_length);
	pad_to(file, pages_offset);
	/* Pages that are zero hold what they were before. */
	for (unsigned page = 0; page < pages; page++)
		put_pattern(file, PAGE, page);
}

static void make_qemu(const char *path, bool shared)
{
	FILE *file = create(path, "");
	FILE *raw = create(path, ".raw");

	put_head(file, shared);
	if (shared) {
		put_name(file, "hidden");
		put_big(file, VRAM_PAGES * PAGE, 8);
		put_big(file, 0, 8);
		put_big(file, 1, 4);
		put_big(file, PAGE, 8);
		put_zeros(file, 16);
	} else {
		put_block(file, "0000:00:02.0/vga.vram", VRAM_PAGES, false);
	}
	put_block(file, "pc.ram", RAM_PAGES, shared);
	put_big(file, 0x10, 8);
	for (unsigned page = 0; page < RAM_PAGES; page++) {
		if (is_stored(page))
			put_pattern(raw, PAGE, page);
		else
			put_zeros(raw, PAGE);
	}
	if (fclose(file) != 0 || fclose(raw) != 0)
		fail("close");
}

/* ---- traces ----------------------------------------------------------------------------- */

static struct lazymem_identity parse_identity(const char *text)
{
	struct lazymem_identity identity = {{0}};
	struct lazymem_backing *image;

	if (strchr(text, '/') != NULL) {
		if (lazymem_file_open(text, NULL, &image) != 0 ||
		    lazymem_backing_identity(image, &identity) != 0)
			fail(lazymem_error_message());
		lazymem_backing_unref(image);
		return identity;
	}
	for (size_t i = 0; text[0] != '-' && i < sizeof(identity.bytes); i++) {
		const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};

		identity.bytes[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return identity;
}

static void make_trace(int count, char **arguments)
{
	const struct lazymem_identity identity = parse_identity(arguments[2]);
	struct lazymem_trace *trace = NULL;

	if (lazymem_trace_create(strtoull(arguments[1], NULL, 0), &trace) != 0)
		fail(lazymem_error_message());
	for (int i = 3; i + 1 < count; i += 2) {
		const struct lazymem_guest_range range = {{strtoull(arguments[i], NULL, 0)},
							  strtoull(arguments[i + 1], NULL, 0)};

		if (lazymem_trace_append(trace, range) != 0)
			fail(lazymem_error_message());
	}
	lazymem_trace_bind(trace, &identity);
	if (lazymem_trace_save(trace, arguments[0]) != 0)
		fail(lazymem_error_message());
	lazymem_trace_destroy(trace);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		fail("which file?");
	if (strcmp(argv[1], "elf") == 0)
		make_elf(argv[2], COUNT(segments));
	else if (strcmp(argv[1], "elf32") == 0)
		make_elf(argv[2], COUNT(segments) - 1);
	else if (strcmp(argv[1], "qemu") == 0)
		make_qemu(argv[2], false);
	else if (strcmp(argv[1], "qemu-shared") == 0)
		make_qemu(argv[2], true);
	else if (strcmp(argv[1], "trace") == 0 && argc >= 5)
		make_trace(argc - 2, argv + 2);
	else
		fail("unknown kind of file");
	return 0;
}
