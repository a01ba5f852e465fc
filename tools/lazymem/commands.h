/* SPDX-License-Identifier: MIT
 *
 * commands.h - what `lazymem NAME ...` can be. Each command is a file of its own,
 * command_NAME.c.
 */
#ifndef LAZYMEM_TOOL_COMMANDS_H
#define LAZYMEM_TOOL_COMMANDS_H

#include "arguments.h"

/* Options that more than one command has. The others of a command are numbered
 * from OPTION_REST on. */
enum {
	OPTION_COMPRESS = OPTION_OWN,
	OPTION_LEVEL,
	OPTION_CHUNK,
	OPTION_JSON,
	OPTION_TRACE,
	OPTION_PARENT,
	OPTION_REST,
};

extern const struct command command_create;
extern const struct command command_info;
extern const struct command command_verify;
extern const struct command command_export;
extern const struct command command_diff;
extern const struct command command_merge;
extern const struct command command_commit;
extern const struct command command_optimize;
extern const struct command command_run;
extern const struct command command_trace_info;
extern const struct command command_trace_union;
extern const struct command command_trace_intersect;
extern const struct command command_trace_plot;

#endif
