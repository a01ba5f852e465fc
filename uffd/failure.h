/* SPDX-License-Identifier: MIT
 *
 * failure.h - what to do about a read or a populate that failed.
 */
#ifndef LM_FAILURE_H
#define LM_FAILURE_H

#include "uffd/slot.h"

/* slot->error is set: try again later, or poison, or give the pages back. */
void lm_slot_fail(struct lm_slot *slot);

/* An abort does not wait for the rest of this page. */
void lm_slot_cut_short(struct lm_slot *slot);

#endif
