/* SPDX-License-Identifier: MIT */
#ifndef UFFDBENCH_DIRECTORY_H
#define UFFDBENCH_DIRECTORY_H

#include "options.h"

/* Where files of our own are made; to be freed. NULL, after a message, when
 * there is no memory. */
char *directory_choose(const struct options *options);

#endif
