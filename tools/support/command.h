/* SPDX-License-Identifier: MIT
 *
 * command.h - a command of a program that has several: `PROGRAM NAME ...`.
 */
#ifndef TOOL_COMMAND_H
#define TOOL_COMMAND_H

struct command {
	const char *name;  /* one word, or two: "trace info" */
	const char *usage; /* what follows the name; lines after the first are indented by it */
	const char *help;  /* what it does, and its options */
	const char *exit;  /* what its exit status says; NULL: what those of most say */
	/* argv[0] is the last word of the name. Returns the exit status. */
	int (*run)(const struct command *command, int argc, char **argv);
};

/* "usage: ..." to standard output. */
void command_print_usage(const struct command *command, const char *head);

/* The last thing of a program: what could not be written is a failure, even if it is noticed last.
 * Its exit status, which was to be `status`. */
int command_close_output(int status);

#endif
