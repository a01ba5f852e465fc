/* SPDX-License-Identifier: MIT
 *
 * bench.h - every workload of the options with every engine of the options,
 * interleaved.
 */
#ifndef UFFDBENCH_BENCH_H
#define UFFDBENCH_BENCH_H

#include "options.h"

/* Measure, print, write. An exit status. */
int bench(const struct options *options);

/* --make-trace. An exit status. */
int bench_make_trace(const struct options *options);

/* --make-image. An exit status. */
int bench_make_image(const struct options *options);

#endif
