/* SPDX-License-Identifier: MIT
 *
 * command_ask.c - the commands that only pass a line to the control socket of a machine
 * that runs.
 */
#include "commands.h"
#include "control.h"
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OPTION_SOCKET = OPTION_OWN };

static const struct option long_options[] = {
	{"control", required_argument, NULL, OPTION_SOCKET},
	OPTION_TABLE_END,
};

static void take(void *context, int option, const char *value)
{
	const char **socket = context;

	(void)option;
	*socket = value;
}

/* Send the name of the command and its operands, of which there are `count`. The index of the
 * first of them, by which they can be changed before. */
static int parse(const struct command *command, int argc, char **argv, int count,
		 const char **ret_socket)
{
	const int operand =
		arguments_parse(command, argc, argv, long_options, take, ret_socket, count, count);

	if (*ret_socket == NULL)
		REFUSE("%s needs --control SOCKET", command->name);
	return operand;
}

static int ask(const struct command *command, int argc, char **argv, int count)
{
	const char *socket = NULL;
	char *words[CONTROL_WORDS_MAX] = {(char *)(uintptr_t)command->name};
	const int operand = parse(command, argc, argv, count, &socket);

	for (int i = 0; i < count; i++)
		words[1 + i] = argv[operand + i];
	return control_ask(socket, words, 1 + (size_t)count);
}

static int run_plain(const struct command *command, int argc, char **argv)
{
	return ask(command, argc, argv, 0);
}

static int run_discard(const struct command *command, int argc, char **argv)
{
	return ask(command, argc, argv, 2);
}

/* The machine's process may be in another directory than we are. */
static char *absolute_path(const char *path)
{
	char *directory = path[0] != '/' ? getcwd(NULL, 0) : strdup("");
	char *absolute = NULL;

	if (directory == NULL ||
	    asprintf(&absolute, "%s%s%s", directory, path[0] != '/' ? "/" : "", path) < 0)
		absolute = NULL;
	if (absolute == NULL)
		complain("%s: %s", path, strerror(errno));
	free(directory);
	return absolute;
}

static int run_snapshot(const struct command *command, int argc, char **argv)
{
	const char *socket = NULL;
	const int operand = parse(command, argc, argv, 1, &socket);
	char *path = absolute_path(argv[operand]);
	char *words[] = {(char *)(uintptr_t)command->name, path};
	int status = EXIT_RUN_FAILED;

	if (path != NULL)
		status = control_ask(socket, words, 2);
	free(path);
	return status;
}

#define SOCKET_HELP "  --control SOCKET  that the machine listens on\n  --help\n"

const struct command command_snapshot = {
	.name = "snapshot",
	.usage = "--control SOCKET PATH",
	.help = "Write a snapshot of the guest to PATH while it runs: a whole one of a fresh "
		"guest, then\n"
		"layers, each over the one before. Says how long the guest stood still.\n"
		"\n" SOCKET_HELP,
	.run = run_snapshot,
};

const struct command command_pause = {
	.name = "pause",
	.usage = "--control SOCKET",
	.help = "Stop the vCPUs of the guest until `lazyvm resume`.\n"
		"\n" SOCKET_HELP,
	.run = run_plain,
};

const struct command command_resume = {
	.name = "resume",
	.usage = "--control SOCKET",
	.help = "Let the vCPUs of the guest go on.\n"
		"\n" SOCKET_HELP,
	.run = run_plain,
};

const struct command command_status = {
	.name = "status",
	.usage = "--control SOCKET",
	.help = "Say what the machine does, in words of the form NAME=VALUE.\n"
		"\n" SOCKET_HELP,
	.run = run_plain,
};

const struct command command_discard = {
	.name = "discard",
	.usage = "--control SOCKET START LENGTH",
	.help = "Take LENGTH bytes of memory from guest address START on away from the guest: "
		"they\n"
		"read as zeros then.\n"
		"\n" SOCKET_HELP,
	.run = run_discard,
};

const struct command command_quit = {
	.name = "quit",
	.usage = "--control SOCKET",
	.help = "End the machine.\n"
		"\n" SOCKET_HELP,
	.run = run_plain,
};
