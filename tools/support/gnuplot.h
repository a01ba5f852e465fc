/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_GNUPLOT_H
#define SUPPORT_GNUPLOT_H

/* Run gnuplot in `directory`; its exit status, or -1. 127: there is none. What
 * it prints is not part of our output; what it complains of is. */
int gnuplot_run(const char *directory, const char *argument);

#endif
