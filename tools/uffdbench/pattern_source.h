/* SPDX-License-Identifier: MIT
 *
 * pattern_source.h - a backing object of pages of the pattern that are made when
 * they are read, so that no file has to be.
 */
#ifndef UFFDBENCH_PATTERN_SOURCE_H
#define UFFDBENCH_PATTERN_SOURCE_H

#include <lazymem/backing.h>

/* `length` bytes, whole pages. 0 or a negative errno value. */
int pattern_source_create(uint64_t length, struct lazymem_backing **ret_backing);

#endif
