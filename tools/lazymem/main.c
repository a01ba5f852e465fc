/* SPDX-License-Identifier: MIT
 *
 * lazymem - make snapshots of guest memory, look at them, check them, turn them
 * into other files, and run programs on them.
 */
#include "commands.h"
#include "complain.h"

#include <lazymem/common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const commands[] = {
	&command_create,     &command_info,       &command_verify,      &command_export,
	&command_diff,       &command_merge,      &command_commit,      &command_optimize,
	&command_run,        &command_trace_info, &command_trace_union, &command_trace_intersect,
	&command_trace_plot,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void print_help(void)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		command_print_usage(commands[i], i == 0 ? "usage: " : "       ");
	puts("       lazymem --help | --version\n"
	     "\n"
	     "Make snapshots of guest memory, look at them, check them, turn them into other\n"
	     "files, and run programs on them. `lazymem COMMAND --help` says more; so does\n"
	     "lazymem(1).");
}

/* The words of the name that the arguments begin with; 0: not all of them. */
static int words_matched(const struct command *command, int argc, char **argv)
{
	const char *name = command->name;
	int words = 0;

	while (*name != '\0') {
		const size_t length = strcspn(name, " ");

		if (words >= argc || strlen(argv[words]) != length ||
		    strncmp(argv[words], name, length) != 0)
			return 0;
		name += length + (name[length] == ' ');
		words++;
	}
	return words;
}

static bool is_first_word(const char *word)
{
	const size_t length = strlen(word);

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strncmp(commands[i]->name, word, length) == 0 &&
		    commands[i]->name[length] == ' ')
			return true;
	}
	return false;
}

static _Noreturn void refuse_command(int argc, char **argv)
{
	if (argc == 0)
		REFUSE("which command? See lazymem --help");
	if (argv[0][0] == '-')
		REFUSE("unknown option %s; see lazymem --help", argv[0]);
	if (!is_first_word(argv[0]))
		REFUSE("unknown command %s; see lazymem --help", argv[0]);
	if (argc == 1)
		REFUSE("which %s command? See lazymem --help", argv[0]);
	REFUSE("unknown command %s %s; see lazymem --help", argv[0], argv[1]);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return command_close_output(EXIT_SUCCESS);
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("lazymem %s\n", lazymem_version());
		return command_close_output(EXIT_SUCCESS);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const int words = words_matched(commands[i], argc - 1, argv + 1);

		if (words > 0)
			return command_close_output(
				commands[i]->run(commands[i], argc - words, argv + words));
	}
	refuse_command(argc - 1, argv + 1);
}
