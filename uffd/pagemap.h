/* SPDX-License-Identifier: MIT
 *
 * pagemap.h - which pages of this process are there, asked of the kernel for a
 * whole range at once.
 */
#ifndef LM_PAGEMAP_H
#define LM_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>

/* Is any page of [host, host + length) mapped? 1 or 0; -ENOTTY and the like
 * where the kernel cannot tell (PAGEMAP_SCAN, Linux 6.7). */
int lm_pagemap_has_pages(const void *host, size_t length);

#endif
