/* SPDX-License-Identifier: MIT
 *
 * median.h - the median of numbers, of which there is at least one.
 */
#ifndef UFFDBENCH_MEDIAN_H
#define UFFDBENCH_MEDIAN_H

#include <stddef.h>

/* Sorts them. */
double median_of(double *values, size_t count);

#endif
