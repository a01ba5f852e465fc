/* SPDX-License-Identifier: MIT
 *
 * descriptors.h - which descriptors of the process are ours, and not the program's.
 */
#ifndef RUN_DESCRIPTORS_H
#define RUN_DESCRIPTORS_H

#include <stdbool.h>

/* What is opened between the two is ours, and gets high numbers: the low ones are those that
 * the program expects. The lock is held. */
void run_descriptors_begin(void);
void run_descriptors_end(void);

/* In a child that was forked: close the copies of ours. */
void run_descriptors_close(void);

/* Is it ours, in the process that serves? Without a lock, in a signal handler too. */
bool run_descriptor_is_ours(int fd);

/* The first of ours in [first, last]. */
bool run_descriptors_next(unsigned first, unsigned last, unsigned *ret_fd);

#endif
