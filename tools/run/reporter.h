/* SPDX-License-Identifier: MIT
 *
 * reporter.h - the counters, copied to the board ten times a second.
 */
#ifndef RUN_REPORTER_H
#define RUN_REPORTER_H

#include "settings.h"

/* A thread that copies until the process ends. 0, or an errno value after a
 * message. */
int run_reporter_start(struct run_board *board, struct lazymem_attachment *attachment);

/* The thread is gone: copy for the last time, as `phase`. Only after it was started. */
void run_reporter_end(enum run_phase phase);

#endif
