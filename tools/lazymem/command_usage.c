/* SPDX-License-Identifier: MIT */
#include "command.h"

#include <stdio.h>
#include <string.h>

void command_print_usage(const struct command *command, const char *head)
{
	const int indent = (int)(strlen("usage: lazymem  ") + strlen(command->name));

	printf("%slazymem %s ", head, command->name);
	for (const char *c = command->usage; *c != '\0'; c++) {
		putchar(*c);
		if (*c == '\n')
			printf("%*s", indent, "");
	}
	putchar('\n');
}
