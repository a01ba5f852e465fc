/* SPDX-License-Identifier: MIT
 *
 * dirty.h - a dirty set: the pages of a guest memory that were written. It is a
 * value: made, filled, merged and looked at by whoever owns it, and bound to
 * nothing.
 */
#ifndef LAZYMEM_DIRTY_H
#define LAZYMEM_DIRTY_H

#include <lazymem/common.h>
#include <lazymem/memory.h>
#include <lazymem/trace.h>
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lazymem_dirty;

/* An empty set for the regions of `memory` (a reference is taken), each in
 * pages of its mapping's page size; one bit a page. -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_dirty_create(struct lazymem_memory *memory,
					struct lazymem_dirty **ret_dirty);

/* NULL is allowed. The owner. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_dirty_destroy(struct lazymem_dirty *dirty);

/* Every page that the range touches becomes dirty. -EFAULT when a byte of it
 * lies in no region, -EINVAL for no bytes, -EOVERFLOW; then nothing is done.
 * One thread at a time. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_dirty_add(struct lazymem_dirty *dirty, struct lazymem_guest_range range);

/* No page that the range touches is dirty any more. As above. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_dirty_remove(struct lazymem_dirty *dirty,
					struct lazymem_guest_range range);

/* Every page that is dirty in `other` becomes dirty. -EINVAL when it was made
 * for a guest memory of other regions or page sizes. One thread at a time,
 * while nobody changes `other`. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_dirty_merge(struct lazymem_dirty *dirty,
				       const struct lazymem_dirty *other);

/* Nothing is dirty any more. One thread at a time. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_dirty_clear(struct lazymem_dirty *dirty);

/* Bytes of all dirty pages. Any thread while nobody changes the set. Since 0.1. */
LAZYMEM_PUBLIC uint64_t lazymem_dirty_length(const struct lazymem_dirty *dirty);

/* Is the page that holds `address` dirty? False where there is no region. Any
 * thread while nobody changes the set. Since 0.1. */
LAZYMEM_PUBLIC bool lazymem_dirty_test(const struct lazymem_dirty *dirty,
				       lazymem_guest_address address);

/* The first dirty range at or after `from`: as long as it can be inside one
 * region, and beginning at `from` if that is inside of it. -ENOENT when there is none:
 *
 *	struct lazymem_guest_range range = {{0}, 0};
 *	while (lazymem_dirty_next(dirty, range.start, &range) == 0) {
 *		... range.start, range.length ...
 *		if (lazymem_guest_address_add(range.start, range.length, &range.start) != 0)
 *			break;
 *	}
 *
 * Any thread while nobody changes the set. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_dirty_next(const struct lazymem_dirty *dirty, lazymem_guest_address from,
				      struct lazymem_guest_range *ret_range);

#ifdef __cplusplus
}
#endif
#endif
