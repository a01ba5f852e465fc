/* SPDX-License-Identifier: MIT
 *
 * page_cache.h - what of a file the kernel has in its page cache.
 */
#ifndef LM_PAGE_CACHE_H
#define LM_PAGE_CACHE_H

#include <stddef.h>
#include <stdint.h>

/* Are all pages that `length` bytes at `offset` touch in the page cache? 1 or 0;
 * -ENOSYS and the like where it cannot be told. Does no I/O. */
int lm_page_cache_has(int fd, uint64_t offset, size_t length);

#endif
