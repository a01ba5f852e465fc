/* SPDX-License-Identifier: MIT
 *
 * view.h - further host mappings of a region's memory.
 *
 * The list is changed under the attachment's exclusive lock and read under the
 * shared one. A region without views pays for one load.
 */
#ifndef LM_VIEW_H
#define LM_VIEW_H

#include "uffd/lazy_region.h"

/* The region whose view holds host address `address`, and the page; NULL for none.
 * Takes the shared lock. */
struct lm_lazy_region *lm_view_find(struct lazymem_attachment *attachment, uint64_t address,
				    size_t *ret_page);

/* Somebody advises a host range away, and with it the poison of views in it. The exclusive
 * lock is held. */
void lm_view_note_remove(struct lazymem_attachment *attachment, uint64_t start, uint64_t end);

/* Before an abort ends the views of a region: what is poisoned is so in each of them, and
 * stays so. Goes on from *page, which is 0 at first. False: an event is unread.
 * The exclusive lock is held. */
bool lm_view_keep_poison(struct lm_lazy_region *region, size_t *page);

/* End the views of a region, whose attachment is let go of. The exclusive lock is held. */
void lm_view_unregister_all(struct lm_lazy_region *region);

/* ---- what populating needs; the shared lock is held */

/* Where to install pages from `page` on: the oldest shared view that has it, else
 * the region's own mapping. *count is cut to what lies there in one piece. */
char *lm_view_place(const struct lm_lazy_region *region, size_t page, size_t *count);

/* The pages are PRESENT, by way of lm_view_place: map them in the other views, and
 * wake who waits there. The region's own mapping, which may be nobody's but the
 * library's, gets them if `own` says that it was touched. What cannot be mapped
 * now will be when it is touched. `again`: they were PRESENT before. */
void lm_view_follow(const struct lm_lazy_region *region, size_t page, size_t count, bool own,
		    bool again);

/* Poison the pages in every view. 0, or -EAGAIN: an event is unread. */
int lm_view_poison(const struct lm_lazy_region *region, size_t page, size_t count);

void lm_view_wake(const struct lm_lazy_region *region, size_t page, size_t count);

#endif
