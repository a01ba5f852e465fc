/* SPDX-License-Identifier: MIT
 *
 * command.h - what other threads want done on a worker's thread.
 */
#ifndef LM_COMMAND_H
#define LM_COMMAND_H

#include "uffd/worker_state.h"

/* Run a command on the worker's thread and wait until somebody ends it. Not on
 * a worker's thread. */
int lm_worker_call(struct lm_worker *worker, struct lm_command *command);

/* The command is over: whoever waits goes on (and may free it). */
void lm_worker_end_command(struct lm_worker *worker, struct lm_command *command);

#endif
