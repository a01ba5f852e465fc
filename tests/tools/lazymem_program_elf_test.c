/* SPDX-License-Identifier: MIT */
#include "program_elf.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOADER "/lib64/ld-linux-x86-64.so.2"

static struct parse_fault fault;

/* A program: its header, two segments, and the name of its loader. */
struct file_64 {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	char loader[sizeof(LOADER)];
};

struct file_32 {
	Elf32_Ehdr header;
	Elf32_Phdr segments[1];
	char loader[sizeof(LOADER)];
};

static struct file_64 sound(void)
{
	struct file_64 file = {
		.header = {.e_type = ET_DYN,
			   .e_machine = EM_X86_64,
			   .e_phoff = offsetof(struct file_64, segments),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD, .p_offset = UINT64_MAX, .p_filesz = 1},
			     {.p_type = PT_INTERP,
			      .p_offset = offsetof(struct file_64, loader),
			      .p_filesz = sizeof(LOADER)}},
		.loader = LOADER,
	};

	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS64;
	file.header.e_ident[EI_DATA] = ELFDATA2LSB;
	return file;
}

static struct file_32 sound_32(void)
{
	struct file_32 file = {
		.header = {.e_type = ET_EXEC,
			   .e_machine = EM_386,
			   .e_phoff = offsetof(struct file_32, segments),
			   .e_phentsize = sizeof(Elf32_Phdr),
			   .e_phnum = 1},
		.segments = {{.p_type = PT_INTERP,
			      .p_offset = offsetof(struct file_32, loader),
			      .p_filesz = sizeof(LOADER)}},
		.loader = LOADER,
	};

	memcpy(file.header.e_ident, ELFMAG, SELFMAG);
	file.header.e_ident[EI_CLASS] = ELFCLASS32;
	file.header.e_ident[EI_DATA] = ELFDATA2LSB;
	return file;
}

/* In memory of just this length, so that a sanitizer sees what is read behind it. */
static void assert_refused(const void *bytes, size_t length, const char *text)
{
	struct program_elf program = {.machine = 4711};
	void *copy = malloc(length > 0 ? length : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, length);
	assert_int_equal(program_elf_parse(copy, length, &program, &fault), -EBADMSG);
	free(copy);
	assert_non_null(strstr(fault.text, text));
	assert_int_equal(program.machine, 4711);
}

static void test_a_dynamically_linked_program(void **state)
{
	const struct file_64 file = sound();
	struct program_elf program;

	(void)state;
	assert_int_equal(program_elf_parse(&file, sizeof(file), &program, &fault), 0);
	assert_int_equal(program.elf_class, ELFCLASS64);
	assert_int_equal(program.machine, EM_X86_64);
	assert_string_equal(program.loader, LOADER);
}

static void test_a_program_of_32_bits(void **state)
{
	const struct file_32 file = sound_32();
	struct program_elf program;

	(void)state;
	assert_int_equal(program_elf_parse(&file, sizeof(file), &program, &fault), 0);
	assert_int_equal(program.elf_class, ELFCLASS32);
	assert_int_equal(program.machine, EM_386);
	assert_string_equal(program.loader, LOADER);
}

static void test_a_statically_linked_program_has_no_loader(void **state)
{
	struct file_64 file = sound();
	struct program_elf program;

	(void)state;
	file.header.e_phnum = 1;
	assert_int_equal(program_elf_parse(&file, sizeof(file), &program, &fault), 0);
	assert_null(program.loader);
}

static void test_what_is_no_elf_file_is_refused(void **state)
{
	struct file_64 file = sound();

	(void)state;
	assert_refused("", 0, "no ELF file");
	assert_refused("\177EL", 3, "no ELF file");
	assert_refused("#!/bin/sh\n", 10, "no ELF file");
	file.header.e_ident[EI_CLASS] = 3;
	assert_refused(&file, sizeof(file), "unknown class 3");
	file = sound();
	file.header.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_refused(&file, sizeof(file), "little-endian");
}

static void test_what_is_no_program_is_refused(void **state)
{
	struct file_64 file = sound();

	(void)state;
	file.header.e_type = ET_REL;
	assert_refused(&file, sizeof(file), "type 1");
	file.header.e_type = ET_CORE;
	assert_refused(&file, sizeof(file), "type 4");
}

static void test_a_program_that_is_cut_off_anywhere_is_refused(void **state)
{
	const struct file_64 file = sound();
	const struct file_32 other = sound_32();

	(void)state;
	for (size_t length = 0; length < offsetof(struct file_64, loader) + sizeof(LOADER);
	     length++)
		assert_refused(&file, length, length < SELFMAG ? "no ELF" : "truncated");
	for (size_t length = 0; length < offsetof(struct file_32, loader) + sizeof(LOADER);
	     length++)
		assert_refused(&other, length, length < SELFMAG ? "no ELF" : "truncated");
}

static void test_segment_headers_that_cannot_be_are_refused(void **state)
{
	struct file_64 file = sound();

	(void)state;
	file.header.e_phentsize = sizeof(Elf64_Phdr) - 1;
	assert_refused(&file, sizeof(file), "55 bytes");
	file = sound();
	file.header.e_phnum = UINT16_MAX;
	assert_refused(&file, sizeof(file), "past its end");
	file = sound();
	file.header.e_phoff = UINT64_MAX;
	assert_refused(&file, sizeof(file), "past its end");
	file.header.e_phoff = sizeof(file) + 1;
	assert_refused(&file, sizeof(file), "past its end");
}

static void test_the_name_of_a_loader_lies_in_the_file_and_ends(void **state)
{
	struct file_64 file = sound();

	(void)state;
	file.segments[1].p_offset = UINT64_MAX;
	assert_refused(&file, sizeof(file), "past its end");
	file = sound();
	file.segments[1].p_filesz = UINT64_MAX;
	assert_refused(&file, sizeof(file), "past its end");
	file.segments[1].p_filesz = 0;
	assert_refused(&file, sizeof(file), "does not end");
	file.segments[1].p_filesz = sizeof(LOADER) - 1;
	assert_refused(&file, sizeof(file), "does not end");
}

/* ---- against our own --------------------------------------------------------------- */

static const struct program_elf own = {ELFCLASS64, EM_X86_64, LOADER};

static void assert_not_loaded(struct program_elf program, const char *text)
{
	assert_int_equal(program_elf_check(&program, &own, &fault), -EBADMSG);
	assert_non_null(strstr(fault.text, text));
}

static void test_a_library_is_loaded_by_the_same_loader_anywhere(void **state)
{
	const struct program_elf elsewhere = {ELFCLASS64, EM_X86_64,
					      "/store/glibc/lib/ld-linux-x86-64.so.2"};

	(void)state;
	assert_int_equal(program_elf_check(&own, &own, &fault), 0);
	assert_int_equal(program_elf_check(&elsewhere, &own, &fault), 0);
}

static void test_programs_that_load_no_library_of_ours(void **state)
{
	(void)state;
	assert_not_loaded((struct program_elf){ELFCLASS32, EM_386, "/lib/ld-linux.so.2"},
			  "of 32 bits");
	assert_not_loaded((struct program_elf){ELFCLASS64, EM_AARCH64, LOADER}, "another machine");
	assert_not_loaded((struct program_elf){ELFCLASS64, EM_X86_64, NULL}, "statically linked");
	assert_not_loaded((struct program_elf){ELFCLASS64, EM_X86_64, "/lib/ld-musl-x86_64.so.1"},
			  "ld-musl");
}

/* ---- scripts ------------------------------------------------------------------------- */

static void assert_interpreter(const char *script, const char *expected)
{
	const char *name;
	size_t length;

	assert_true(program_script_interpreter(script, strlen(script), &name, &length));
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(name, expected, length);
}

static void test_the_interpreter_of_a_script(void **state)
{
	(void)state;
	assert_interpreter("#!/bin/sh\necho", "/bin/sh");
	assert_interpreter("#! \t/usr/bin/env -S python3\n", "/usr/bin/env");
	assert_interpreter("#!/bin/sh\t-e\n", "/bin/sh");
	assert_interpreter("#!/bin/sh", "/bin/sh");
}

static void test_what_names_no_interpreter(void **state)
{
	static const char *const scripts[] = {"",      "#",      "#!",        "#!\n/bin/sh",
					      "#! \t", "echo\n", " #!/bin/sh"};
	const char *name;
	size_t length;

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++)
		assert_false(
			program_script_interpreter(scripts[i], strlen(scripts[i]), &name, &length));
}

static void test_of_a_script_no_more_is_read_than_by_the_kernel(void **state)
{
	char script[1000];
	const char *name;
	size_t length;

	(void)state;
	memset(script, 'x', sizeof(script));
	script[0] = '#';
	script[1] = '!';
	assert_true(program_script_interpreter(script, sizeof(script), &name, &length));
	assert_int_equal(length, 254);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_dynamically_linked_program),
		cmocka_unit_test(test_a_program_of_32_bits),
		cmocka_unit_test(test_a_statically_linked_program_has_no_loader),
		cmocka_unit_test(test_what_is_no_elf_file_is_refused),
		cmocka_unit_test(test_what_is_no_program_is_refused),
		cmocka_unit_test(test_a_program_that_is_cut_off_anywhere_is_refused),
		cmocka_unit_test(test_segment_headers_that_cannot_be_are_refused),
		cmocka_unit_test(test_the_name_of_a_loader_lies_in_the_file_and_ends),
		cmocka_unit_test(test_a_library_is_loaded_by_the_same_loader_anywhere),
		cmocka_unit_test(test_programs_that_load_no_library_of_ours),
		cmocka_unit_test(test_the_interpreter_of_a_script),
		cmocka_unit_test(test_what_names_no_interpreter),
		cmocka_unit_test(test_of_a_script_no_more_is_read_than_by_the_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
