/* SPDX-License-Identifier: MIT
 *
 * collapse.h - huge pages for a region that was advised to have them.
 */
#ifndef LM_COLLAPSE_H
#define LM_COLLAPSE_H

#include "uffd/worker_state.h"

/* Make one complete block a huge page, when no fault has come for a while. True
 * when one was tried; else *ret_due is lowered to the time at which to come back. */
bool lm_collapse_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due);

/* Make what can be made huge pages, after the end of the attachment. */
void lm_collapse_rest(struct lm_lazy_region *region, struct lm_statistics *statistics);

#endif
