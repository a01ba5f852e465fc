/* SPDX-License-Identifier: MIT */
#include "boot_layout.h"
#include "elf_payload.h"
#include "fault.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENTS (ELF_PAYLOAD_SEGMENTS_MAX + 1)

struct file {
	Elf64_Ehdr header;
	Elf64_Phdr segments[SEGMENTS];
	unsigned char code[64];
};

static struct elf_payload payload;

/* A program of one segment: 64 bytes of code, and 100 bytes of zeros behind them. */
static struct file sound(void)
{
	struct file file = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_entry = BOOT_PAYLOAD + 8,
			   .e_phoff = offsetof(struct file, segments),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 1},
		.segments = {{.p_type = PT_LOAD,
			      .p_paddr = BOOT_PAYLOAD,
			      .p_offset = offsetof(struct file, code),
			      .p_filesz = 64,
			      .p_memsz = 164}},
	};

	return file;
}

static void expect_refusal(const struct file *file, size_t length, const char *text)
{
	assert_int_equal(elf_payload_parse((const unsigned char *)file, length, &payload), -1);
	if (strstr(fault_message(), text) == NULL)
		fail_msg("'%s' does not say '%s'", fault_message(), text);
}

static void a_segment_is_found(void **state)
{
	const struct file file = sound();

	(void)state;
	assert_int_equal(elf_payload_parse((const unsigned char *)&file, sizeof(file), &payload),
			 0);
	assert_int_equal(payload.segment_count, 1);
	assert_int_equal(payload.entry, BOOT_PAYLOAD + 8);
	assert_int_equal(payload.end, BOOT_PAYLOAD + 164);
	assert_ptr_equal(payload.segments[0].bytes, file.code);
	assert_int_equal(payload.segments[0].stored, 64);
	assert_int_equal(payload.segments[0].length, 164);
}

static void a_file_that_is_cut_off_is_refused(void **state)
{
	const struct file file = sound();

	(void)state;
	for (size_t length = 0; length < sizeof(file); length++)
		assert_int_equal(elf_payload_parse((const unsigned char *)&file, length, &payload),
				 -1);
}

static void another_kind_of_file_is_refused(void **state)
{
	struct file file = sound();

	(void)state;
	file.header.e_ident[0] = 'E';
	expect_refusal(&file, sizeof(file), "is no ELF file");
	file = sound();
	file.header.e_ident[EI_CLASS] = ELFCLASS32;
	expect_refusal(&file, sizeof(file), "x86-64");
	file = sound();
	file.header.e_machine = EM_AARCH64;
	expect_refusal(&file, sizeof(file), "x86-64");
	file = sound();
	file.header.e_type = ET_DYN;
	expect_refusal(&file, sizeof(file), "fixed addresses");
	file = sound();
	file.header.e_phentsize = 1;
	expect_refusal(&file, sizeof(file), "segment headers of 1 bytes");
}

static void a_table_past_the_end_is_refused(void **state)
{
	struct file file = sound();

	(void)state;
	file.header.e_phoff = UINT64_MAX - 8;
	expect_refusal(&file, sizeof(file), "past its end");
	file = sound();
	file.header.e_phnum = UINT16_MAX;
	expect_refusal(&file, sizeof(file), "past its end");
}

static void a_segment_past_the_end_is_refused(void **state)
{
	struct file file = sound();

	(void)state;
	file.segments[0].p_offset = UINT64_MAX;
	expect_refusal(&file, sizeof(file), "past its end");
	file = sound();
	file.segments[0].p_filesz = file.segments[0].p_memsz = UINT64_MAX;
	expect_refusal(&file, sizeof(file), "past its end");
	file = sound();
	file.segments[0].p_filesz = 165;
	expect_refusal(&file, sizeof(file), "only 164 in memory");
}

static void a_segment_where_none_can_be_is_refused(void **state)
{
	struct file file = sound();

	(void)state;
	file.segments[0].p_paddr = BOOT_PAYLOAD - 1;
	expect_refusal(&file, sizeof(file), "keeps its tables");
	file = sound();
	file.segments[0].p_paddr = UINT64_MAX - 4;
	expect_refusal(&file, sizeof(file), "wraps");
}

static void more_segments_than_there_is_room_for_are_refused(void **state)
{
	struct file file = sound();

	(void)state;
	for (size_t i = 1; i < SEGMENTS; i++)
		file.segments[i] = file.segments[0];
	file.header.e_phnum = SEGMENTS - 1;
	assert_int_equal(elf_payload_parse((const unsigned char *)&file, sizeof(file), &payload),
			 0);
	file.header.e_phnum = SEGMENTS;
	expect_refusal(&file, sizeof(file), "more than");
}

static void an_entry_outside_of_what_is_loaded_is_refused(void **state)
{
	struct file file = sound();

	(void)state;
	file.header.e_entry = BOOT_PAYLOAD + 64;
	expect_refusal(&file, sizeof(file), "none of its segments");
	file = sound();
	file.header.e_phnum = 0;
	expect_refusal(&file, sizeof(file), "no segment to load");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_segment_is_found),
		cmocka_unit_test(a_file_that_is_cut_off_is_refused),
		cmocka_unit_test(another_kind_of_file_is_refused),
		cmocka_unit_test(a_table_past_the_end_is_refused),
		cmocka_unit_test(a_segment_past_the_end_is_refused),
		cmocka_unit_test(a_segment_where_none_can_be_is_refused),
		cmocka_unit_test(more_segments_than_there_is_room_for_are_refused),
		cmocka_unit_test(an_entry_outside_of_what_is_loaded_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
