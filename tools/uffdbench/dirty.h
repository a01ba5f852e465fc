/* SPDX-License-Identifier: MIT
 *
 * dirty.h - what it costs to know, and to keep, what the guest has written: every
 * measurement of the options, in all its ways.
 */
#ifndef UFFDBENCH_DIRTY_H
#define UFFDBENCH_DIRTY_H

#include "options.h"

/* Measure, print, write. An exit status. */
int dirty_bench(const struct options *options);

#endif
