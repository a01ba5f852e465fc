/* SPDX-License-Identifier: MIT
 *
 * held.h - what the file behind shared memory holds, whatever is mapped.
 */
#ifndef LM_HELD_H
#define LM_HELD_H

#include "uffd/lazy_region.h"

/* Get ready to ask; where that fails, asking takes longer. Close tolerates that it was not opened. */
void lm_held_open(struct lm_lazy_region *region);
void lm_held_close(struct lm_lazy_region *region);

/* How many pages from `page` on, at most `count`, are alike, and do they hold anything that an
 * access would find? Of private memory that is discarded nothing is left. */
size_t lm_held_run(const struct lm_lazy_region *region, size_t page, size_t count, bool *ret_held);

#endif
