/* SPDX-License-Identifier: MIT
 *
 * suite_bench.h - every measurement of the options, in all its ways.
 */
#ifndef UFFDBENCH_SUITE_BENCH_H
#define UFFDBENCH_SUITE_BENCH_H

#include "options.h"

/* Measure, print, write. An exit status. */
int suite_bench(const struct options *options);

#endif
