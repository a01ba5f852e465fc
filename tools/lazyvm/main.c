/* SPDX-License-Identifier: MIT
 *
 * lazyvm - a small monitor on KVM whose guests' memory is the library's: an
 * example of how to embed it, and a way to see it at work.
 */
#include "commands.h"

#include <lazymem/common.h>
#include <stdio.h>
#include <string.h>

static const struct command *const commands[] = {
	&command_run,    &command_restore, &command_state,   &command_snapshot,
	&command_status, &command_pause,   &command_resume,  &command_discard,
	&command_quit,   &command_migrate, &command_receive, &command_cancel,
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void print_help(void)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		command_print_usage(commands[i], i == 0 ? "usage: " : "       ");
	puts("       lazyvm --help | --version\n"
	     "\n"
	     "Run small guests on /dev/kvm, with memory that is filled on demand.\n"
	     "`lazyvm COMMAND --help` says more; so does lazyvm(1).");
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	if (name[0] == '-')
		REFUSE("unknown option %s; see lazyvm --help", name);
	REFUSE("unknown command %s; see lazyvm --help", name);
}

int main(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2)
		REFUSE("which command? See lazyvm --help");
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		print_help();
		return command_close_output(EXIT_SUCCESS);
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		printf("lazyvm %s\n", lazymem_version());
		return command_close_output(EXIT_SUCCESS);
	}
	command = find_command(argv[1]);
	return command_close_output(command->run(command, argc - 1, argv + 1));
}
