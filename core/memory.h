/* SPDX-License-Identifier: MIT
 *
 * memory.h - guest memory as the files of core see it, and the one way in
 * which they walk a guest range.
 */
#ifndef LM_MEMORY_H
#define LM_MEMORY_H

#include "core/region.h"

/* Sorted by base, no two overlap: see lm_memory_is_valid. */
struct lazymem_memory {
	atomic_size_t references;
	size_t count; /* above zero */
	uint64_t length;
	struct lazymem_region *regions[];
};

/* The invariants above, for assert. */
bool lm_memory_is_valid(const struct lazymem_memory *memory);

/* Is it the identity of the memory, or of a backing object of one of its
 * regions? (core/identity.c) */
bool lm_memory_has_image(const struct lazymem_memory *memory, const struct lazymem_identity *image);

/* Was the dirty set made for guest memory of these regions? (core/dirty.c) */
struct lazymem_dirty;
bool lm_dirty_fits(const struct lazymem_dirty *dirty, const struct lazymem_memory *memory);

/* A part of a guest range that lies in one region. */
struct lm_piece {
	struct lazymem_region *region;
	size_t index;  /* of the region in the guest memory */
	size_t offset; /* bytes, in the region */
	size_t length; /* bytes, above zero */
	void *host;    /* of the first byte */
};

struct lm_walk {
	const struct lazymem_memory *memory;
	size_t index;
	uint64_t offset;
	uint64_t left;
};

/* Check the whole range, then begin to walk it. protection: PROT_* bits that
 * every mapping in it must have. -EINVAL for no bytes, -EOVERFLOW past 2^64,
 * -EFAULT when a byte of it lies in no region, -EACCES. */
int lm_walk_begin(const struct lazymem_memory *memory, lazymem_guest_address address,
		  uint64_t length, int protection, struct lm_walk *ret_walk);

/* The next piece, in ascending order; false when there is none. */
bool lm_walk_next(struct lm_walk *walk, struct lm_piece *ret_piece);

#endif
