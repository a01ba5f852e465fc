/* SPDX-License-Identifier: MIT
 *
 * write_back_timer.h - memory that is synced by itself, again and again.
 */
#ifndef LM_WRITE_BACK_TIMER_H
#define LM_WRITE_BACK_TIMER_H

#include "uffd/attachment.h"

/* Sync all of the attachment `interval` nanoseconds from now, and that long after the end
 * of each sync, once it is served. -ENOMEM, or what starting a thread answered. */
int lm_write_back_timer_start(struct lazymem_attachment *attachment, uint64_t interval);

/* Returns when the thread has ended; waits for a sync that is under way, not for the
 * interval. Tolerates that it was not started. */
void lm_write_back_timer_stop(struct lazymem_attachment *attachment);

#endif
