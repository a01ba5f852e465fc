/* SPDX-License-Identifier: MIT
 *
 * stack_index.c - the flat index of a stack: how it is made of the indexes of
 * its sources, and how it is searched.
 *
 * Flattening goes top down. The flat index of all sources above is merged with
 * the next source below: a chunk of that index is taken as it is, and in place
 * of a PARENT chunk come the pieces of the source that it covers. As every piece
 * begins where a chunk of one or the other did, there are at most as many pieces
 * as chunks in both. The lowest source is often by far the largest; it is walked
 * once, however many small ones are over it.
 *
 * A piece of a zero chunk is a zero chunk; one of a raw chunk is a raw chunk
 * further on in the file. A compressed chunk cannot be cut: whatever is left of
 * it becomes a REFERENCE to the whole, in the array of its source, and its
 * pages are told by their distance from where that begins.
 *
 * A search halves an array of perhaps millions of chunks, each step a miss of
 * the cache. So `starts` tells for each stretch of the memory, of about as many
 * bytes as a few chunks have on average, which chunk holds its first byte; what
 * is left to search lies in a cache line or two.
 */
#include "backing/stack.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

bool lm_stack_index_is_sound(const struct lm_stack_index *index, size_t source_count,
			     uint64_t length)
{
	uint64_t unit = 0;

	for (size_t i = 0; i < index->count; i++) {
		const struct lm_chunk *chunk = &index->chunks[i];

		if (chunk->page != unit || chunk->count == 0 ||
		    chunk->kind == LAZYMEM_CHUNK_PARENT || chunk->layer >= source_count)
			return false;
		unit += chunk->count;
	}
	return unit << index->shift >= length;
}

/* ---- search -------------------------------------------------------------- */

enum { CHUNKS_PER_START = 4, CHUNKS_WORTH_STARTS = 64 };

/* The last one of chunks [low, high) that begins at or before `unit`; the one
 * at low does. */
static size_t search(const struct lm_chunk *chunks, size_t low, size_t high, uint64_t unit)
{
	while (high - low > 1) {
		const size_t middle = low + (high - low) / 2;

		if (chunks[middle].page <= unit)
			low = middle;
		else
			high = middle;
	}
	return low;
}

void lm_stack_index_prepare(struct lm_stack_index *index, uint64_t length)
{
	uint64_t stretches;
	size_t chunk = 0;

	index->starts = NULL;
	if (index->count < CHUNKS_WORTH_STARTS || index->count > UINT32_MAX)
		return;
	index->jump = index->shift;
	while ((length >> index->jump) / (index->count / CHUNKS_PER_START) > 0)
		index->jump++;
	stretches = (length >> index->jump) + 1;
	index->starts = reallocarray(NULL, stretches + 1, sizeof(*index->starts));
	if (index->starts == NULL)
		return;
	for (uint64_t i = 0; i < stretches; i++) {
		while (chunk + 1 < index->count &&
		       lm_stack_start(index, &index->chunks[chunk + 1]) <= i << index->jump)
			chunk++;
		index->starts[i] = (uint32_t)chunk;
	}
	index->starts[stretches] = (uint32_t)index->count - 1;
}

const struct lm_chunk *lm_stack_find(const struct lm_stack_index *index, uint64_t offset)
{
	size_t low = 0, high = index->count;

	if (index->starts != NULL) {
		const uint32_t *start = &index->starts[offset >> index->jump];

		low = start[0];
		high = (size_t)start[1] + 1;
	}
	return &index->chunks[search(index->chunks, low, high, offset >> index->shift)];
}

/* ---- flattening ---------------------------------------------------------- */

/* An index in the making. */
struct merging {
	const struct lm_stack_source *sources;
	struct lm_chunk *chunks;
	size_t count;
	unsigned shift;
};

static bool is_compressed(const struct lm_chunk *chunk)
{
	return chunk->kind == LAZYMEM_CHUNK_LZ4 || chunk->kind == LAZYMEM_CHUNK_ZSTD;
}

/* Does `next`, which begins where `last` ends, go on where that one is stored? */
static bool goes_on(const struct merging *merging, const struct lm_chunk *last,
		    const struct lm_chunk *next)
{
	if (last->kind != next->kind || next->count > UINT32_MAX - last->count)
		return false;
	if (last->kind == LAZYMEM_CHUNK_ZERO || last->kind == LAZYMEM_CHUNK_PARENT)
		return true;
	if (last->layer != next->layer)
		return false;
	if (last->kind == LM_CHUNK_REFERENCE)
		return last->position == next->position;
	return last->position + ((uint64_t)last->count << merging->shift) == next->position &&
	       (merging->sources[last->layer].sums == NULL ||
		last->checksum + last->count == next->checksum);
}

static void append(struct merging *merging, const struct lm_chunk *chunk)
{
	struct lm_chunk *next = &merging->chunks[merging->count];

	if (merging->count > 0 && goes_on(merging, next - 1, chunk)) {
		next[-1].count += chunk->count;
		return;
	}
	*next = *chunk;
	merging->count++;
}

/* Append the `count` units from `first` on of a chunk that holds them all. */
static void append_piece(struct merging *merging, const struct lm_chunk *chunk, uint64_t first,
			 uint64_t count)
{
	const struct lm_stack_source *source = &merging->sources[chunk->layer];
	const uint64_t skipped = first - chunk->page;
	struct lm_chunk piece = *chunk;

	piece.page = first;
	piece.count = (uint32_t)count;
	if (is_compressed(chunk)) {
		piece.kind = LM_CHUNK_REFERENCE;
		piece.position = (uint64_t)(chunk - source->chunks);
		piece.stored = 0;
		piece.checksum = 0;
	} else if (chunk->kind == LAZYMEM_CHUNK_RAW) {
		piece.position += skipped << merging->shift;
		if (source->sums != NULL)
			piece.checksum += (uint32_t)skipped;
	}
	append(merging, &piece);
}

/* Append what the source below has in [first, first + count); *next is the
 * first chunk of it that ends after `first`, and moves on. */
static void append_below(struct merging *merging, const struct lm_chunk **next, uint64_t first,
			 uint64_t count)
{
	const uint64_t end = first + count;

	while (first < end) {
		const uint64_t chunk_end = (*next)->page + (*next)->count;

		if (chunk_end > first) {
			const uint64_t piece_end = lm_min(end, chunk_end);

			append_piece(merging, *next, first, piece_end - first);
			first = piece_end;
		}
		if (chunk_end <= end)
			(*next)++;
	}
}

/* The topmost source has nothing above it. */
static void append_all(struct merging *merging, const struct lm_stack_source *source)
{
	for (size_t i = 0; i < source->chunk_count; i++)
		append_piece(merging, &source->chunks[i], source->chunks[i].page,
			     source->chunks[i].count);
}

/* Merge the index of all above a source with it. */
static void merge(struct merging *merging, const struct lm_chunk *above, size_t above_count,
		  const struct lm_stack_source *source)
{
	const struct lm_chunk *below = source->chunks;

	for (size_t i = 0; i < above_count; i++) {
		const struct lm_chunk *chunk = &above[i];

		if (chunk->kind == LAZYMEM_CHUNK_PARENT)
			append_below(merging, &below, chunk->page, chunk->count);
		else
			append_piece(merging, chunk, chunk->page, chunk->count);
	}
}

int lm_stack_flatten(const struct lm_stack_source *sources, size_t source_count,
		     unsigned unit_shift, struct lm_chunk **ret_chunks, size_t *ret_count)
{
	struct merging merging = {.sources = sources, .shift = unit_shift};

	for (size_t i = 0; i < source_count; i++) {
		struct lm_chunk *above = merging.chunks;
		const size_t above_count = merging.count;
		const size_t most = sources[i].chunk_count + above_count;

		merging.chunks = reallocarray(NULL, most, sizeof(*merging.chunks));
		merging.count = 0;
		if (merging.chunks == NULL) {
			free(above);
			return lm_error(-ENOMEM, "no memory for an index of %zu chunks", most);
		}
		if (above == NULL)
			append_all(&merging, &sources[i]);
		else
			merge(&merging, above, above_count, &sources[i]);
		free(above);
	}
	*ret_chunks = merging.chunks;
	*ret_count = merging.count;
	return 0;
}
