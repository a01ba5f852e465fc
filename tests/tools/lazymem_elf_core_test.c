/* SPDX-License-Identifier: MIT */
#include "elf_core.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FILE_LENGTH UINT64_C(1000000)

static struct parse_fault fault;

static Elf64_Ehdr sound_header(void)
{
	Elf64_Ehdr header = {
		.e_type = ET_CORE, .e_phoff = 64, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2};

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
	return header;
}

static Elf64_Phdr sound_segment(void)
{
	return (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_offset = 777,
			    .p_paddr = 0x100000,
			    .p_filesz = 0x1800,
			    .p_memsz = 0x3000};
}

static void assert_header_refused(const Elf64_Ehdr *header, size_t length, const char *text)
{
	struct elf_core core = {.segment_count = 77};

	assert_int_equal(elf_core_parse_header(header, length, FILE_LENGTH, &core, &fault),
			 -EBADMSG);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(core.segment_count, 77);
}

static void test_a_sound_header(void **state)
{
	const Elf64_Ehdr header = sound_header();
	struct elf_core core;

	(void)state;
	assert_int_equal(elf_core_parse_header(&header, sizeof(header), FILE_LENGTH, &core, &fault),
			 0);
	assert_true(core.is_64);
	assert_false(core.count_in_section);
	assert_int_equal(core.table_offset, 64);
	assert_int_equal(core.segment_count, 2);
	assert_int_equal(core.entry_size, sizeof(Elf64_Phdr));
}

static void test_headers_that_are_refused(void **state)
{
	Elf64_Ehdr header = sound_header();

	(void)state;
	assert_header_refused(&header, 15, "too short");
	assert_header_refused(&header, sizeof(header) - 1, "cut off");
	header.e_ident[EI_CLASS] = 3;
	assert_header_refused(&header, sizeof(header), "class 3");
	header = sound_header();
	header.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_header_refused(&header, sizeof(header), "little-endian");
	header = sound_header();
	header.e_type = ET_EXEC;
	assert_header_refused(&header, sizeof(header), "no core");
	header = sound_header();
	header.e_phentsize = sizeof(Elf64_Phdr) - 1;
	assert_header_refused(&header, sizeof(header), "55 bytes");
	header = sound_header();
	header.e_phnum = 0;
	assert_header_refused(&header, sizeof(header), "no segments");
	header = sound_header();
	header.e_phoff = FILE_LENGTH - 2 * sizeof(Elf64_Phdr) + 1;
	assert_header_refused(&header, sizeof(header), "past its end");
	header.e_phoff = UINT64_MAX;
	assert_header_refused(&header, sizeof(header), "past its end");
}

static void test_many_segments_are_counted_in_the_first_section(void **state)
{
	Elf64_Ehdr header = sound_header();
	Elf64_Shdr section = {.sh_info = 3};
	struct elf_core core;

	(void)state;
	header.e_phnum = PN_XNUM;
	header.e_shoff = 5000;
	assert_int_equal(elf_core_parse_header(&header, sizeof(header), FILE_LENGTH, &core, &fault),
			 0);
	assert_true(core.count_in_section);
	assert_int_equal(core.section_offset, 5000);
	assert_int_equal(elf_core_parse_section(&section, 20, FILE_LENGTH, &core, &fault),
			 -EBADMSG);
	assert_int_equal(
		elf_core_parse_section(&section, sizeof(section), FILE_LENGTH, &core, &fault), 0);
	assert_int_equal(core.segment_count, 3);
	section.sh_info = UINT32_MAX;
	assert_int_equal(
		elf_core_parse_section(&section, sizeof(section), FILE_LENGTH, &core, &fault),
		-EBADMSG);
	assert_non_null(strstr(fault.text, "4294967295"));
}

static const struct elf_core two = {
	.is_64 = true, .segment_count = 2, .entry_size = sizeof(Elf64_Phdr)};

static void test_segments_that_are_memory(void **state)
{
	Elf64_Phdr table[2] = {{.p_type = PT_NOTE, .p_memsz = 1}, sound_segment()};
	struct elf_segment *segments;
	size_t count;

	(void)state;
	assert_int_equal(
		elf_core_parse_segments(&two, table, FILE_LENGTH, &segments, &count, &fault), 0);
	assert_int_equal(count, 1);
	assert_int_equal(segments[0].address, 0x100000);
	assert_int_equal(segments[0].length, 0x3000);
	assert_int_equal(segments[0].offset, 777);
	assert_int_equal(segments[0].stored, 0x1800);
	free(segments);
}

static void assert_segment_refused(Elf64_Phdr segment, const char *text)
{
	const Elf64_Phdr table[2] = {sound_segment(), segment};
	struct elf_segment *segments;
	size_t count;

	assert_int_equal(
		elf_core_parse_segments(&two, table, FILE_LENGTH, &segments, &count, &fault),
		-EBADMSG);
	assert_non_null(strstr(fault.text, text));
}

static void test_segments_that_are_refused(void **state)
{
	Elf64_Phdr segment = sound_segment();

	(void)state;
	segment.p_filesz = segment.p_memsz + 1;
	assert_segment_refused(segment, "segment 1 has 12289 bytes in the file");
	segment = sound_segment();
	segment.p_offset = FILE_LENGTH - segment.p_filesz + 1;
	assert_segment_refused(segment, "segment 1 [");
	segment.p_offset = UINT64_MAX;
	assert_segment_refused(segment, "segment 1 [");
	segment = sound_segment();
	segment.p_paddr = 0x100001;
	assert_segment_refused(segment, "whole pages");
	segment = sound_segment();
	segment.p_memsz = 0x3001;
	assert_segment_refused(segment, "whole pages");
	segment = sound_segment();
	segment.p_paddr = UINT64_MAX - 0xfff;
	assert_segment_refused(segment, "wraps");
	segment = sound_segment();
	segment.p_paddr = 0;
	segment.p_memsz = UINT64_MAX - 0xfff;
	assert_segment_refused(segment, "more than 2^64");
}

static void test_no_memory_at_all_is_refused(void **state)
{
	const Elf64_Phdr table[2] = {{.p_type = PT_NOTE, .p_memsz = 1}, {.p_type = PT_LOAD}};
	struct elf_segment *segments;
	size_t count;

	(void)state;
	assert_int_equal(
		elf_core_parse_segments(&two, table, FILE_LENGTH, &segments, &count, &fault),
		-EBADMSG);
	assert_non_null(strstr(fault.text, "no segment that is memory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_sound_header),
		cmocka_unit_test(test_headers_that_are_refused),
		cmocka_unit_test(test_many_segments_are_counted_in_the_first_section),
		cmocka_unit_test(test_segments_that_are_memory),
		cmocka_unit_test(test_segments_that_are_refused),
		cmocka_unit_test(test_no_memory_at_all_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
