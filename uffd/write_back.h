/* SPDX-License-Identifier: MIT
 *
 * write_back.h - what the guest wrote goes back to the backing objects.
 */
#ifndef LM_WRITE_BACK_H
#define LM_WRITE_BACK_H

#include "uffd/attachment.h"

/* Refuse guest memory with a lazily filled region whose object cannot be
 * written: -EROFS. Else make the set of what is under way: -ENOMEM. Destroy tolerates none. */
int lm_write_back_create(struct lazymem_attachment *attachment);
void lm_write_back_destroy(struct lazymem_attachment *attachment);

static inline bool lm_write_back_is_on(const struct lazymem_attachment *attachment)
{
	return attachment->write_back.underway != NULL;
}

/* Write what is dirty of these pages, and flush. What fails stays dirty. */
int lm_write_back_sync(struct lm_lazy_region *region, size_t page, size_t count);

/* All of every region, of the others too when one fails; then the last failure. */
int lm_write_back_sync_all(struct lazymem_attachment *attachment);

#endif
