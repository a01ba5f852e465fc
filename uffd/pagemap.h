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

/* Which base pages of [host, host + length) of private memory are mapped or swapped out: 1
 * or 0 in `ret_there` for each. 0 or a negative errno value. */
int lm_pagemap_there(const void *host, size_t length, unsigned char *ret_there);

/* Which base pages of [host, host + length) are mapped, and protected from writes by a
 * userfaultfd: likewise. */
int lm_pagemap_protected(const void *host, size_t length, unsigned char *ret_protected);

/* Can the kernel tell and protect written pages in one step? */
bool lm_pagemap_can_collect(void);

/* Call `found` for each run of pages of [host, host + length), registered for
 * asynchronous write-protection, that were written since they were last protected, and
 * protect them: `mapped` says whether they are mapped or swapped. Of shared
 * memory those that are not are told as well; of private memory neither they
 * nor zero pages. 0 or a negative errno value. */
int lm_pagemap_collect(char *host, size_t length, bool shared,
		       void (*found)(void *context, const char *host, size_t length, bool mapped),
		       void *context);

#endif
