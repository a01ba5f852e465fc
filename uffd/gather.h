/* SPDX-License-Identifier: MIT
 *
 * gather.h - one read for several runs of pages of a job.
 */
#ifndef LM_GATHER_H
#define LM_GATHER_H

#include "uffd/worker_state.h"

/* A free gather for at most `size` bytes, and a buffer at most; NULL when there
 * is none. */
struct lm_gather *lm_gather_start(struct lm_worker *worker, size_t size);

/* Pages of the region that the gather still has room for; 0 when it reads from
 * another backing object already. */
size_t lm_gather_room(const struct lm_gather *gather, const struct lm_lazy_region *region);

/* Add the pages that a slot, which was started for it with LM_BUDGET_PART, has
 * claimed. They fit. */
void lm_gather_add(struct lm_gather *gather, struct lm_slot *slot);

/* Start the read; free again without any slot. */
void lm_gather_submit(struct lm_worker *worker, struct lm_gather *gather);

/* Its read has completed: install everything. */
void lm_gather_resume(struct lm_gather *gather);

#endif
