/* SPDX-License-Identifier: MIT */
#include "arguments.h"
#include "size.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void print_help_and_exit(const struct command *command)
{
	command_print_usage(command, "usage: ");
	printf("\n%s\nExit status: %s. See %s(1).\n", command->help,
	       command->exit != NULL ? command->exit : "0 success, 1 failure, 2 wrong command line",
	       program_invocation_short_name);
	if (fflush(stdout) == 0)
		exit(EXIT_SUCCESS);
	complain("standard output: %m");
	exit(EXIT_RUN_FAILED);
}

/* What getopt_long says of it: a letter, of which there may be several in one
 * argument; a long option with a value that it does not take; or a name. */
static _Noreturn void refuse_option(const struct command *command, const char *argument)
{
	if (optopt == 0)
		REFUSE("unknown option %s; see %s %s --help", argument,
		       program_invocation_short_name, command->name);
	if (optopt <= UCHAR_MAX)
		REFUSE("unknown option -%c; see %s %s --help", optopt,
		       program_invocation_short_name, command->name);
	REFUSE("option %.*s takes no value", (int)strcspn(argument, "="), argument);
}

static void check_count(const struct command *command, int count, int least, int most)
{
	if (count < least)
		REFUSE("%s needs %d file name%s, not %d; see %s %s --help", command->name, least,
		       least == 1 ? "" : "s", count, program_invocation_short_name, command->name);
	if (count > most)
		REFUSE("%s takes at most %d file name%s, not %d; see %s %s --help", command->name,
		       most, most == 1 ? "" : "s", count, program_invocation_short_name,
		       command->name);
}

/* Reads the options, as getopt_long() does with these short ones; the index of
 * the first operand. */
static int parse_options(const struct command *command, int argc, char **argv,
			 const char *short_options, const struct option *options,
			 arguments_take take, void *context)
{
	int option;

	opterr = 0;
	optind = 0;
	while ((option = getopt_long(argc, argv, short_options, options, NULL)) != -1) {
		if (option == OPTION_HELP)
			print_help_and_exit(command);
		if (option == ':')
			REFUSE("option %s needs a value", argv[optind - 1]);
		if (option == '?')
			refuse_option(command, argv[optind - 1]);
		take(context, option, optarg);
	}
	return optind;
}

int arguments_parse(const struct command *command, int argc, char **argv,
		    const struct option *options, arguments_take take, void *context, int least,
		    int most)
{
	const int operand = parse_options(command, argc, argv, ":", options, take, context);

	check_count(command, argc - operand, least, most);
	for (int i = operand; i < argc; i++) {
		if (argv[i][0] == '\0')
			REFUSE("%s: a file name is empty", command->name);
	}
	return operand;
}

int arguments_parse_program(const struct command *command, int argc, char **argv,
			    const struct option *options, arguments_take take, void *context)
{
	const int operand = parse_options(command, argc, argv, "+:", options, take, context);

	if (operand == argc)
		REFUSE("%s needs a program; see %s %s --help", command->name,
		       program_invocation_short_name, command->name);
	if (argv[operand][0] == '\0')
		REFUSE("%s: the name of the program is empty", command->name);
	return operand;
}

uint64_t arguments_size(const char *name, const char *text)
{
	uint64_t size;
	int error = size_parse(text, &size);

	if (error == -ERANGE)
		REFUSE("--%s %s is too large", name, text);
	if (error != 0)
		REFUSE("--%s %s is no size: give bytes, or a number with K, M or G", name, text);
	return size;
}

int arguments_integer(const char *name, const char *text, int least, int most)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || number < least || number > most)
		REFUSE("--%s %s is no number from %d to %d", name, text, least, most);
	return (int)number;
}

unsigned arguments_word(const char *name, const char *text, const char *const *words)
{
	for (unsigned i = 0; words[i] != NULL; i++) {
		if (strcmp(text, words[i]) == 0)
			return i;
	}
	REFUSE("--%s %s: unknown; see --help", name, text);
}
