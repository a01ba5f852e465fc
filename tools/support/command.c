/* SPDX-License-Identifier: MIT */
#include "command.h"
#include "complain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

void command_print_usage(const struct command *command, const char *head)
{
	const char *program = program_invocation_short_name;
	const int indent = (int)(strlen("usage:   ") + strlen(program) + strlen(command->name));

	printf("%s%s %s ", head, program, command->name);
	for (const char *c = command->usage; *c != '\0'; c++) {
		putchar(*c);
		if (*c == '\n')
			printf("%*s", indent, "");
	}
	putchar('\n');
}

int command_close_output(int status)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return status;
	complain("standard output: %m");
	return EXIT_RUN_FAILED;
}
