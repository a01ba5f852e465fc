/* SPDX-License-Identifier: MIT
 *
 * worker.h - one thread that serves any number of attachments.
 */
#ifndef LM_WORKER_H
#define LM_WORKER_H

#include "uffd/worker_state.h"

/* Start the thread, and wait until it is ready. Stop tolerates a half-built one. */
int lm_worker_start(struct lm_worker *worker, const struct lm_worker_options *options);
void lm_worker_stop(struct lm_worker *worker);

#endif
