/* SPDX-License-Identifier: MIT
 *
 * tracking.h - which pages of a region were written.
 */
#ifndef LM_TRACKING_H
#define LM_TRACKING_H

#include "uffd/attachment.h"

/* Room for the marks of a region. -ENOMEM. Destroy tolerates none. */
int lm_tracking_create(struct lm_lazy_region *region);
void lm_tracking_destroy(struct lm_lazy_region *region);

/* Are pages of the region installed write-protected? */
static inline bool lm_tracking_protects(const struct lm_lazy_region *region)
{
	return region->attachment->tracking >= LAZYMEM_TRACKING_FAULTS;
}

/* How a page is installed: LM_PROTECT or 0. `again` says that it was PRESENT and its
 * mapping went, and with it what the kernel knew: then it counts as written. */
unsigned lm_tracking_protection(const struct lm_lazy_region *region, bool again);

/* The page was written or discarded: the next collect tells it. Any thread. */
void lm_tracking_mark(struct lm_lazy_region *region, size_t page);

/* A part of a view goes away: mark what was written through it. The exclusive lock is held. */
void lm_tracking_end_view(struct lm_lazy_region *region, char *host, size_t page, size_t count);

/* A write to a protected page that is there: mark it, and let it be written. 0,
 * or a negative errno value of UFFDIO_WRITEPROTECT. The shared lock is held. */
int lm_tracking_allow(struct lm_lazy_region *region, size_t page);

/* Wait until the worker is between two populates, and has applied the events that it
 * has read: what it has installed so far is published, what was discarded so far is
 * marked, and states can be relied on. */
void lm_tracking_settle(struct lazymem_attachment *attachment);

/* Add what was written to a dirty set of the attached memory, and forget it: see harvest.h. */
int lm_tracking_collect(struct lazymem_attachment *attachment, struct lazymem_dirty *dirty);

#endif
