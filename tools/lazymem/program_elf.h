/* SPDX-License-Identifier: MIT
 *
 * program_elf.h - what an ELF file that is to be executed is. Format: System V
 * ABI, elf(5).
 */
#ifndef LAZYMEM_TOOL_PROGRAM_ELF_H
#define LAZYMEM_TOOL_PROGRAM_ELF_H

#include "parse_fault.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct program_elf {
	unsigned char elf_class; /* ELFCLASS32 or ELFCLASS64 */
	unsigned machine;
	const char *loader; /* inside the bytes; NULL: statically linked */
};

bool program_is_elf(const void *bytes, size_t length);

/* All bytes of the file, which are little-endian on the machines we run on. -EBADMSG. */
int program_elf_parse(const void *bytes, size_t length, struct program_elf *ret_program,
		      struct parse_fault *fault);

/* Would the loader of `program` load a library made for `own`? -EBADMSG. */
int program_elf_check(const struct program_elf *program, const struct program_elf *own,
		      struct parse_fault *fault);

/* The interpreter that the first line of a script ("#!/bin/sh -e") names: where
 * it begins and how long it is. False: it is no script, or names none. */
bool program_script_interpreter(const void *bytes, size_t length, const char **ret_name,
				size_t *ret_length);

#endif
