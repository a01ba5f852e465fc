/* SPDX-License-Identifier: MIT
 *
 * stack.h - several sources, one over the other, as one backing object with
 * one flat index: which source a byte comes from is found out once, so that
 * depth costs nothing for a read. Snapshots and layered images are stacks.
 *
 * The index is a sorted array of struct lm_chunk. They count in units: pages
 * for a snapshot, whose checksums are of pages, and bytes for layered images,
 * where a hole may begin anywhere.
 */
#ifndef LM_STACK_H
#define LM_STACK_H

#include "backing/snapshot_format.h"

#include <lazymem/backing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest number of sources: a chunk names its own in 16 bits. */
#define LM_STACK_SOURCES 65535

/* In a merged index, in place of a compressed chunk, of which perhaps not every
 * page is left: `position` is the place of the chunk in its source. */
#define LM_CHUNK_REFERENCE 255

/* Where chunks are stored. */
struct lm_stack_source {
	struct lazymem_backing *file;
	const uint32_t *sums;          /* checksums of pages; NULL: none */
	const struct lm_chunk *chunks; /* its own, ascending; chunk->layer is its own too */
	size_t chunk_count;
};

/* Invariants: the chunks are in ascending order and cover every unit below
 * `length` without a gap or an overlap; none is of kind PARENT; `layer` of
 * those that are stored is below source_count. */
struct lm_stack_index {
	const struct lm_chunk *chunks;
	size_t count;
	unsigned shift;   /* a unit is 1 << shift bytes */
	unsigned jump;    /* units of 1 << jump bytes share an entry of `starts` */
	uint32_t *starts; /* the chunk that holds the first byte; NULL: search them all */
};

struct lm_stack_read;

struct lm_stack {
	struct lm_stack_index index;
	const struct lm_stack_source *sources; /* the first one is the topmost */
	bool has_identity;
	struct lazymem_identity identity;

	/* Called when the stack is closed: sources, their files and chunks are the
	 * owner's. */
	void (*release)(void *owner);
	void *owner;

	struct lm_chunk *merged; /* the index, when it is the stack's own */
	pthread_mutex_t lock;    /* of the lists, and of hurrying */
	struct lm_stack_read *spare;
	struct lm_stack_read *background; /* reads in flight that nobody waits for */
};

/* What a stack is made of. */
struct lm_stack_plan {
	const struct lm_stack_source *sources; /* stay where they are until `release` */
	size_t source_count;
	struct lm_chunk *index; /* of lm_stack_flatten; NULL: that of the only source */
	size_t index_count;
	unsigned unit_shift; /* 12 for pages, 0 for bytes */
	uint64_t length;     /* bytes */
	const char *name;
	const struct lazymem_identity *identity; /* NULL: none */
	void (*release)(void *owner);
	void *owner;
};

/* The backing object. The index becomes its own; on failure it stays the
 * caller's, and nothing is released. -ENOMEM. */
int lm_stack_create(const struct lm_stack_plan *plan, struct lazymem_backing **ret_backing);

/* ---- index (stack_index.c) */

/* Are the invariants kept? */
bool lm_stack_index_is_sound(const struct lm_stack_index *index, size_t source_count,
			     uint64_t length);

/* Make `starts`, with which a search is short however many chunks there are.
 * Without memory for it there is none. */
void lm_stack_index_prepare(struct lm_stack_index *index, uint64_t length);

/* The chunk that holds the byte at `offset`, which is below the length. */
const struct lm_chunk *lm_stack_find(const struct lm_stack_index *index, uint64_t offset);

/* The bytes before and up to the end of a chunk. */
static inline uint64_t lm_stack_start(const struct lm_stack_index *index,
				      const struct lm_chunk *chunk)
{
	return chunk->page << index->shift;
}

static inline uint64_t lm_stack_end(const struct lm_stack_index *index,
				    const struct lm_chunk *chunk)
{
	return (chunk->page + chunk->count) << index->shift;
}

/* The index of a stack, top down: what is PARENT in the sources above comes
 * from the one below. One pass over both for each source. The lowest one must
 * have no PARENT. The array, of ret_count chunks, is for the caller to free.
 * -ENOMEM. */
int lm_stack_flatten(const struct lm_stack_source *sources, size_t source_count,
		     unsigned unit_shift, struct lm_chunk **ret_chunks, size_t *ret_count);

/* ---- reads (stack_read.c) */

/* The read operations of a stack, without parts and with. */
void lm_stack_submit(void *object, struct lazymem_read *read);

/* Somebody waits for this background read after all. */
void lm_stack_hurry(void *object, struct lazymem_read *read);

/* Free the spare states; no read is in flight. */
void lm_stack_free_reads(struct lm_stack *stack);

#endif
