/* SPDX-License-Identifier: MIT
 *
 * format.h - numbers in the units that a person would choose: three digits,
 * and a unit.
 */
#ifndef SUPPORT_FORMAT_H
#define SUPPORT_FORMAT_H

#include <stdint.h>

struct cell {
	char text[32];
};

struct cell format_ns(double ns);             /* "8.31 us" with a Greek mu */
struct cell format_bytes(double bytes);       /* "1.61 MiB" */
struct cell format_count(double count);       /* "65536", "12.3 k" from 100000 on */
struct cell format_ratio(double a, double b); /* a / b, "-" when there is none */

/* Print at the right end of `width` columns. */
void format_put(struct cell cell, int width);

#endif
