/* SPDX-License-Identifier: MIT
 *
 * serve.h - from a message to a slot.
 */
#ifndef LM_SERVE_H
#define LM_SERVE_H

#include "uffd/worker_state.h"

/* Read all messages of an attachment: apply its events, put its faults in the
 * backlog. False when there were none. */
bool lm_serve_messages(struct lm_worker *worker, struct lazymem_attachment *attachment);

/* Start what the backlog holds while there are free demand slots. */
void lm_serve_backlog(struct lm_worker *worker);

#endif
