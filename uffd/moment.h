/* SPDX-License-Identifier: MIT
 *
 * moment.h - the copies of a moment, and who may still ask for them.
 */
#ifndef LM_MOMENT_H
#define LM_MOMENT_H

#include "uffd/attachment.h"

#include <lazymem/moment.h>

/* The copies of one lazily filled region, each at its own place in `shadow`; what
 * was not copied takes no memory there. */
struct lm_moment_part {
	struct lm_lazy_region *region;   /* while the moment has its attachment */
	struct lazymem_backing *backing; /* a reference */
	uint64_t backing_offset;
	uint64_t guest;
	size_t length;
	char *shadow;
};

/* Invariants: `zeros` is a part of `copied`; once `taken`, neither changes. */
struct lazymem_moment {
	struct lazymem_attachment *attachment; /* NULL once that was let go */
	struct lazymem_memory *memory;         /* a reference */
	struct lazymem_dirty *copied;          /* every page of the moment */
	struct lazymem_dirty *zeros;           /* of these, the discarded ones, without a copy */
	struct lazymem_dirty *round;           /* what is being copied */
	bool taken, written;
	bool is_first;                  /* nothing was written before it */
	bool written_back;              /* the backing objects change */
	struct lazymem_identity before; /* of the snapshot it is a layer over; none: unknown */
	size_t part_count;
	struct lm_moment_part parts[]; /* in the order of their guest addresses */
};

/* The part that holds a guest address, and its offset there; NULL: none does. */
const struct lm_moment_part *lm_moment_find(const struct lazymem_moment *moment, uint64_t address,
					    uint64_t *ret_offset);

/* moment_source.c: all of it as one backing object, its bytes in the order of
 * `regions`, which must lie inside the parts (-EINVAL); `length` is theirs, but for the end
 * of the last page (-ERANGE when something was written there). The moment and the regions
 * outlive it. */
int lm_moment_source_create(const struct lazymem_moment *moment,
			    const struct lazymem_snapshot_region *regions, size_t region_count,
			    uint64_t length, struct lazymem_backing **ret_backing);

/* The attachment is let go: its moment, if it has one, keeps what it has. */
void lm_moment_leave(struct lazymem_attachment *attachment);

#endif
