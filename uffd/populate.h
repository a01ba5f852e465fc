/* SPDX-License-Identifier: MIT
 *
 * populate.h - installs the pages of a slot.
 */
#ifndef LM_POPULATE_H
#define LM_POPULATE_H

#include "uffd/slot.h"

enum lm_populated {
	LM_POPULATED, /* every page of the slot is settled */
	LM_LATER,     /* the layout is changing, or an event is unread: read messages, try again */
	LM_READ_ON,   /* a page larger than the buffer: its next piece has to be read */
	LM_REFUSED,   /* page first + installed could not be installed: slot->error */
};

/* Go on from page first + installed of the slot. Takes the attachment's shared lock. */
enum lm_populated lm_populate(struct lm_slot *slot);

/* The slot ends before its page, larger than the buffer, is complete: take the
 * pieces out of the page cache, lest somebody takes them for a page. */
void lm_populate_drop_pieces(struct lm_slot *slot);

/* Wake whoever waits for a page of the run; it faults again, and is told by the page's state
 * then. */
void lm_populate_wake(struct lazymem_attachment *attachment, struct lm_lazy_region *region,
		      size_t page, size_t count);

#endif
