/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_index.c - chunks and checksums, as they are written.
 *
 * Chunks come in two ascending sequences, that of the trace, once it is
 * sorted, and that of the rest. They are merged while they are written out,
 * so the index of a large memory is held once only.
 */
#include "backing/snapshot_write_index.h"

#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>

void lm_write_index_destroy(struct lm_write_index *index)
{
	free(index->chunks);
	free(index->checksums);
	*index = (struct lm_write_index){0};
}

/* ---- joining ------------------------------------------------------------- */

/* Is `after` the continuation of `chunk`, in the memory and in the file? */
static bool continues(const struct lm_chunk *chunk, const struct lm_chunk *after)
{
	if (after->kind != chunk->kind || after->page != chunk->page + chunk->count ||
	    after->count > UINT32_MAX - chunk->count)
		return false;
	if (chunk->kind == LAZYMEM_CHUNK_ZERO || chunk->kind == LAZYMEM_CHUNK_PARENT)
		return true;
	return chunk->kind == LAZYMEM_CHUNK_RAW &&
	       after->position == chunk->position + (uint64_t)chunk->count * LM_SNAPSHOT_PAGE &&
	       after->checksum == chunk->checksum + chunk->count;
}

/* ---- adding -------------------------------------------------------------- */

static uint64_t feature_of(uint8_t kind)
{
	switch (kind) {
	case LAZYMEM_CHUNK_LZ4:
		return LM_FEATURE_LZ4;
	case LAZYMEM_CHUNK_ZSTD:
		return LM_FEATURE_ZSTD;
	default:
		return 0;
	}
}

/* The array with room for `more` entries of `size` bytes after `count` of them;
 * NULL, and the old one as it was, without memory. */
static void *grow(void *entries, size_t *capacity, size_t count, size_t more, size_t size)
{
	size_t wanted = *capacity != 0 ? *capacity : 256;

	if (more <= *capacity - count)
		return entries;
	while (wanted - count < more)
		wanted *= 2; /* memory ends long before this wraps */
	entries = reallocarray(entries, wanted, size);
	if (entries == NULL)
		lm_error(-ENOMEM, "no memory for its index after %zu entries", count);
	else
		*capacity = wanted;
	return entries;
}

int lm_write_index_add(struct lm_write_index *index, const struct lm_chunk *chunk)
{
	struct lm_chunk *chunks = index->chunks;

	if (index->count > index->trace_count && continues(&chunks[index->count - 1], chunk)) {
		chunks[index->count - 1].count += chunk->count;
		return 0;
	}
	chunks = grow(chunks, &index->capacity, index->count, 1, sizeof(*chunks));
	if (chunks == NULL)
		return -ENOMEM;
	index->chunks = chunks;
	chunks[index->count++] = *chunk;
	index->features |= feature_of(chunk->kind);
	return 0;
}

int lm_write_index_add_absent(struct lm_write_index *index, enum lazymem_chunk_kind kind,
			      uint64_t page, uint64_t count)
{
	while (count > 0) {
		const struct lm_chunk chunk = {.page = page,
					       .count = (uint32_t)lm_min(count, UINT32_MAX),
					       .kind = (uint8_t)kind};
		const int error = lm_write_index_add(index, &chunk);

		if (error != 0)
			return error;
		page += chunk.count;
		count -= chunk.count;
	}
	return 0;
}

int lm_write_index_add_checksums(struct lm_write_index *index, const unsigned char *bytes,
				 size_t count, uint32_t *ret_first)
{
	const size_t first = index->checksum_count;
	uint32_t *checksums;

	if (first + count > UINT32_MAX)
		return lm_error(-EOVERFLOW, "more than 2^32 pages would be stored");
	checksums =
		grow(index->checksums, &index->checksum_capacity, first, count, sizeof(*checksums));
	if (checksums == NULL)
		return -ENOMEM;
	index->checksums = checksums;
	for (size_t i = 0; i < count; i++)
		checksums[first + i] = lm_crc32c(0, bytes + i * LM_SNAPSHOT_PAGE, LM_SNAPSHOT_PAGE);
	index->checksum_count = first + count;
	*ret_first = (uint32_t)first;
	return 0;
}

/* ---- in the order of the memory ------------------------------------------ */

static int by_page(const void *a, const void *b)
{
	const struct lm_chunk *left = a, *right = b;

	return (left->page > right->page) - (left->page < right->page);
}

void lm_write_index_end_trace(struct lm_write_index *index)
{
	index->trace_count = index->count;
	if (index->count != 0)
		qsort(index->chunks, index->count, sizeof(*index->chunks), by_page);
}

/* Which of the two sequences has the next chunk; NULL: neither. */
static const struct lm_chunk *peek(const struct lm_write_index *index,
				   struct lm_write_cursor *cursor, size_t **ret_place)
{
	const struct lm_chunk *trace = &index->chunks[cursor->trace];
	const struct lm_chunk *rest = &index->chunks[index->trace_count + cursor->rest];
	const bool has_trace = cursor->trace < index->trace_count;
	const bool has_rest = index->trace_count + cursor->rest < index->count;

	if (!has_trace && !has_rest)
		return NULL;
	if (has_trace && (!has_rest || trace->page < rest->page)) {
		*ret_place = &cursor->trace;
		return trace;
	}
	*ret_place = &cursor->rest;
	return rest;
}

bool lm_write_index_next(const struct lm_write_index *index, struct lm_write_cursor *cursor,
			 struct lm_chunk *ret_chunk)
{
	size_t *place;
	const struct lm_chunk *after = peek(index, cursor, &place);
	struct lm_chunk chunk;

	if (after == NULL)
		return false;
	chunk = *after;
	++*place;
	while ((after = peek(index, cursor, &place)) != NULL && continues(&chunk, after)) {
		chunk.count += after->count;
		++*place;
	}
	*ret_chunk = chunk;
	return true;
}
