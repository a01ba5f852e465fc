/* SPDX-License-Identifier: MIT */
#ifndef LAZYVM_COMMANDS_H
#define LAZYVM_COMMANDS_H

#include "arguments.h"

extern const struct command command_run;
extern const struct command command_restore;
extern const struct command command_state;
extern const struct command command_snapshot;
extern const struct command command_pause;
extern const struct command command_resume;
extern const struct command command_status;
extern const struct command command_discard;
extern const struct command command_quit;
extern const struct command command_migrate;
extern const struct command command_receive;
extern const struct command command_cancel;

#endif
