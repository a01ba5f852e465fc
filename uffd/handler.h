/* SPDX-License-Identifier: MIT
 *
 * handler.h - the set of workers behind a struct lazymem_handler.
 */
#ifndef LM_HANDLER_H
#define LM_HANDLER_H

#include "uffd/worker_state.h"

struct lazymem_handler {
	size_t worker_count;
	struct lm_worker workers[];
};

/* The worker with the fewest attachments, which is counted as having one more. */
struct lm_worker *lm_handler_choose(struct lazymem_handler *handler);

#endif
