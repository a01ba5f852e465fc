/* SPDX-License-Identifier: MIT
 *
 * settle.h - the worker's side of letting go.
 */
#ifndef LM_SETTLE_H
#define LM_SETTLE_H

#include "uffd/worker_state.h"

/* If finish or abort waits, and the attachment is at rest, let go. True when
 * the step has to be repeated. */
bool lm_settle_step(struct lm_worker *worker, struct lazymem_attachment *attachment);

/* The poll of the userfaultfd has ended: tell who waits. */
void lm_settle_poll_ended(struct lm_worker *worker, struct lazymem_attachment *attachment);

#endif
