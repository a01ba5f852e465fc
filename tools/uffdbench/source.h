/* SPDX-License-Identifier: MIT
 *
 * source.h - is the image in the page cache or not, and can we show it?
 */
#ifndef UFFDBENCH_SOURCE_H
#define UFFDBENCH_SOURCE_H

#include "image.h"

#include <stdbool.h>

enum source {
	SOURCE_CACHED, /* every page of the image is in the page cache */
	SOURCE_COLD,   /* at most one in a thousand is */
};

const char *source_name(enum source source);

/* Can this image be brought into that state, and can that be proved? 0, or -1
 * after a message. */
int source_check(const struct image *image, enum source source);

/* Bring it there. 0, or -1 after a message. */
int source_bring(const struct image *image, enum source source);

/* Ask the kernel where it is: pages of the image in the page cache, and
 * whether that is the state wanted. 0, or -1 after a message. */
int source_prove(const struct image *image, enum source source, uint64_t *ret_resident,
		 bool *ret_proved);

#endif
