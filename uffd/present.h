/* SPDX-License-Identifier: MIT
 *
 * present.h - memory that is partly there when it is attached.
 */
#ifndef LM_PRESENT_H
#define LM_PRESENT_H

#include "uffd/attachment.h"

/* Take the pages of the region that are in `present` as they are, those that have
 * no memory as zeros. -EEXIST when another page is there, -EINVAL when a set is for
 * other regions. Tracking counts all of them as written. */
int lm_present_take(struct lm_lazy_region *region, const struct lazymem_dirty *present);

#endif
