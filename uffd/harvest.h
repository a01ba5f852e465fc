/* SPDX-License-Identifier: MIT
 *
 * harvest.h - what tracking tells, shared out among those who ask.
 */
#ifndef LM_HARVEST_H
#define LM_HARVEST_H

#include "uffd/attachment.h"

/* Make the sets of an attachment that tracks: -ENOMEM. Destroy tolerates none. */
int lm_harvest_create(struct lazymem_attachment *attachment, bool for_sync);
void lm_harvest_destroy(struct lazymem_attachment *attachment);

/* Move all that `asker` has not been given yet to `dirty`. On failure it stays
 * to be given. The attachment's lock is not held. */
int lm_harvest_take(struct lazymem_attachment *attachment, enum lm_asker asker,
		    struct lazymem_dirty *dirty);

/* The same for a range of one region. When it returns, the state of what was
 * taken can be relied on: the worker has published what it had installed. */
int lm_harvest_take_range(struct lazymem_attachment *attachment, enum lm_asker asker,
			  struct lazymem_guest_range range, struct lazymem_dirty *dirty);

/* What was taken is to be given once more. */
void lm_harvest_give_back(struct lazymem_attachment *attachment, enum lm_asker asker,
			  const struct lazymem_dirty *dirty);

#endif
