/* SPDX-License-Identifier: MIT
 *
 * arguments.h - the command line of one command. Whatever is wrong with it is
 * named, and ends the process with EXIT_USAGE.
 */
#ifndef TOOL_ARGUMENTS_H
#define TOOL_ARGUMENTS_H

#include "command.h"
#include "complain.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define REFUSE(...)                                                                                \
	do {                                                                                       \
		complain(__VA_ARGS__);                                                             \
		exit(EXIT_USAGE);                                                                  \
	} while (0)

/* What every command has; a program numbers its own options from OPTION_OWN on. */
enum { OPTION_HELP = 256, OPTION_OWN };

#define OPTION_TABLE_END                                                                           \
	{"help", no_argument, NULL, OPTION_HELP},                                                  \
	{                                                                                          \
		NULL, 0, NULL, 0                                                                   \
	}

/* Called for each option but --help. */
typedef void (*arguments_take)(void *context, int option, const char *value);

/* Reads the options; from the returned index on, argv holds the operands, of
 * which there are at least `least` and at most `most`. */
int arguments_parse(const struct command *command, int argc, char **argv,
		    const struct option *options, arguments_take take, void *context, int least,
		    int most);

/* The same, where the operands are a program and its arguments: from the first
 * operand on, nothing is an option. There is at least one. */
int arguments_parse_program(const struct command *command, int argc, char **argv,
			    const struct option *options, arguments_take take, void *context);

/* An option's value. */
uint64_t arguments_size(const char *name, const char *text);
int arguments_integer(const char *name, const char *text, int least, int most);
unsigned arguments_word(const char *name, const char *text, const char *const *words);

#endif
