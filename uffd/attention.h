/* SPDX-License-Identifier: MIT
 *
 * attention.h - which attachments a worker has to look at.
 */
#ifndef LM_ATTENTION_H
#define LM_ATTENTION_H

#include "uffd/worker_state.h"

/* The worker's own thread: the attachment has messages to read; has work that
 * no fault asked for; is over. */
void lm_worker_mark_readable(struct lm_worker *worker, struct lazymem_attachment *attachment);
void lm_worker_mark_busy(struct lm_worker *worker, struct lazymem_attachment *attachment);
void lm_worker_forget(struct lm_worker *worker, struct lazymem_attachment *attachment);

/* The next of those with work; there is one. */
struct lazymem_attachment *lm_worker_take_busy(struct lm_worker *worker);

#endif
