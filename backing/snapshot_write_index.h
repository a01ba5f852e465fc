/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_index.h - the chunks and checksums of a snapshot that is being
 * written: they come in the order of the file and leave in that of the memory.
 */
#ifndef LM_SNAPSHOT_WRITE_INDEX_H
#define LM_SNAPSHOT_WRITE_INDEX_H

#include "backing/snapshot_format.h"

/* Zero it before the first use. Invariants: chunks[0 .. trace_count) are those
 * of the trace, in ascending order of their pages once the trace has ended;
 * the others are in that order from the start; no page is in two chunks. */
struct lm_write_index {
	struct lm_chunk *chunks;
	size_t count;
	size_t capacity;
	size_t trace_count;
	uint32_t *checksums;
	size_t checksum_count;
	size_t checksum_capacity;
	uint64_t features; /* that the chunks so far ask for */
};

void lm_write_index_destroy(struct lm_write_index *index);

/* One more chunk; joined to the one before where it is its continuation. */
int lm_write_index_add(struct lm_write_index *index, const struct lm_chunk *chunk);

/* Pages that are not stored: zero, or the parent's. */
int lm_write_index_add_absent(struct lm_write_index *index, enum lazymem_chunk_kind kind,
			      uint64_t page, uint64_t count);

/* The checksums of `count` pages at `bytes`, and the number of the first one.
 * -EOVERFLOW when there are too many for the format. */
int lm_write_index_add_checksums(struct lm_write_index *index, const unsigned char *bytes,
				 size_t count, uint32_t *ret_first);

/* All chunks of the trace are there; those that follow are in ascending order. */
void lm_write_index_end_trace(struct lm_write_index *index);

/* Where a walk over all chunks is; begin with zeros. */
struct lm_write_cursor {
	size_t trace;
	size_t rest;
};

/* The next chunk in the order of the memory, neighbours joined; false at the end. */
bool lm_write_index_next(const struct lm_write_index *index, struct lm_write_cursor *cursor,
			 struct lm_chunk *ret_chunk);

#endif
