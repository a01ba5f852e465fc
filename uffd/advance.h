/* SPDX-License-Identifier: MIT
 *
 * advance.h - a slot goes on: read, install, wait.
 */
#ifndef LM_ADVANCE_H
#define LM_ADVANCE_H

#include "uffd/worker_state.h"

/* Go on with a slot that has claimed its pages: read, or install, or wait. */
void lm_slot_advance(struct lm_slot *slot);

/* How a read ends whose context is a slot: the slot waits in a list of the
 * worker's. Any thread. */
void lm_slot_read_completed(struct lazymem_read *read, int error);

/* Go on with a slot whose read has completed. */
void lm_slot_resume(struct lm_slot *slot);

#endif
