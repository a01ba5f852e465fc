/* SPDX-License-Identifier: MIT
 *
 * prefetch.h - jobs, one bounded piece at a time.
 */
#ifndef LM_PREFETCH_H
#define LM_PREFETCH_H

#include "uffd/worker_state.h"

/* One piece of the attachment's current job. True when there may be more to do
 * at once; *ret_due is lowered to the time at which to come back. */
bool lm_prefetch_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due);

#endif
