/* SPDX-License-Identifier: MIT
 *
 * inherited.h - what `lazymem run` left for us in the environment.
 */
#ifndef RUN_INHERITED_H
#define RUN_INHERITED_H

#include "settings.h"

/* Read once, before anything else of this library is used. NULL: this program
 * was not started by `lazymem run`. errno is kept. */
const struct run_settings *run_the_settings(void);

/* The board; only where there are settings. */
struct run_board *run_the_board(void);

/* Leave nothing of us to the programs that are executed from now on. */
void run_disinherit(void);

#endif
