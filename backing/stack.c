/* SPDX-License-Identifier: MIT
 *
 * stack.c - a stack of sources as a backing object: its table of operations,
 * but for the reads.
 */
#include "backing/stack.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Neighbours that are looked at to answer for one extent: an answer may be
 * shorter than what is true, and a fault must not wait for a long one. */
#define EXTENT_CHUNKS 256

static int stack_extent(void *object, uint64_t offset, uint64_t length,
			struct lazymem_extent *ret_extent)
{
	const struct lm_stack *stack = object;
	const struct lm_chunk *chunk = lm_stack_find(&stack->index, offset);
	const bool is_zero = chunk->kind == LAZYMEM_CHUNK_ZERO;
	uint64_t end = lm_stack_end(&stack->index, chunk);

	for (size_t i = 1; i < EXTENT_CHUNKS && end - offset < length; i++) {
		chunk++;
		if ((chunk->kind == LAZYMEM_CHUNK_ZERO) != is_zero)
			break;
		end = lm_stack_end(&stack->index, chunk);
	}
	ret_extent->start = offset;
	ret_extent->length = lm_min(length, end - offset);
	ret_extent->kind = is_zero ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA;
	return 0;
}

static int stack_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct lm_stack *stack = object;

	if (!stack->has_identity)
		return -ENODATA;
	*ret_identity = stack->identity;
	return 0;
}

/* ---- readahead ------------------------------------------------------------ */

/* A stretch of a file. */
struct stored {
	const struct lm_stack_source *source;
	uint64_t start;
	uint64_t end;
};

/* What the file has of [offset, end) of the memory, all in one chunk, not zero. */
static struct stored find_stored(const struct lm_stack *stack, const struct lm_chunk *chunk,
				 uint64_t offset, uint64_t end)
{
	const struct lm_stack_source *source = &stack->sources[chunk->layer];
	const uint64_t skipped = offset - lm_stack_start(&stack->index, chunk);

	if (chunk->kind == LAZYMEM_CHUNK_RAW)
		return (struct stored){source, chunk->position + skipped,
				       chunk->position + skipped + (end - offset)};
	if (chunk->kind == LM_CHUNK_REFERENCE)
		chunk = &source->chunks[chunk->position];
	return (struct stored){source, chunk->position, chunk->position + chunk->stored};
}

static void advise(const struct stored *stored)
{
	if (stored->source != NULL)
		lazymem_backing_readahead(stored->source->file, stored->start,
					  stored->end - stored->start);
}

/* Is `next` the end of what `stored` is the beginning of? */
static bool follows(const struct stored *stored, const struct stored *next)
{
	return next->source == stored->source && next->start >= stored->start &&
	       next->start <= stored->end + LM_SNAPSHOT_PAGE && next->end >= stored->end;
}

static void stack_readahead(void *object, uint64_t offset, uint64_t length)
{
	const struct lm_stack *stack = object;
	const uint64_t end = offset + length;
	const struct lm_chunk *chunk = lm_stack_find(&stack->index, offset);
	struct stored stored = {0};

	for (; offset < end; chunk++) {
		const uint64_t chunk_end = lm_min(end, lm_stack_end(&stack->index, chunk));

		if (chunk->kind != LAZYMEM_CHUNK_ZERO) {
			const struct stored next = find_stored(stack, chunk, offset, chunk_end);

			if (follows(&stored, &next)) {
				stored.end = next.end;
			} else {
				advise(&stored);
				stored = next;
			}
		}
		offset = chunk_end;
	}
	advise(&stored);
}

/* ---- life ------------------------------------------------------------------ */

static void stack_close(void *object)
{
	struct lm_stack *stack = object;

	lm_stack_free_reads(stack);
	pthread_mutex_destroy(&stack->lock);
	free(stack->index.starts);
	free(stack->merged);
	if (stack->release != NULL)
		stack->release(stack->owner);
	free(stack);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = lm_stack_submit,
	.extent = stack_extent,
	.read_parts = lm_stack_submit,
	.identity = stack_identity,
	.readahead = stack_readahead,
	.hurry = lm_stack_hurry,
	.close = stack_close,
};

int lm_stack_create(const struct lm_stack_plan *plan, struct lazymem_backing **ret_backing)
{
	struct lm_stack *stack = calloc(1, sizeof(*stack));
	int error;

	if (stack == NULL)
		return lm_error(-ENOMEM, "%s: no memory for a backing object", plan->name);
	stack->sources = plan->sources;
	stack->index.shift = plan->unit_shift;
	stack->index.chunks = plan->index != NULL ? plan->index : plan->sources->chunks;
	stack->index.count = plan->index != NULL ? plan->index_count : plan->sources->chunk_count;
	stack->has_identity = plan->identity != NULL;
	if (plan->identity != NULL)
		stack->identity = *plan->identity;
	assert(lm_stack_index_is_sound(&stack->index, plan->source_count, plan->length));
	lm_stack_index_prepare(&stack->index, plan->length);
	pthread_mutex_init(&stack->lock, NULL);

	error = lazymem_backing_create(&operations, stack, plan->length, plan->name, ret_backing);
	if (error != 0) {
		stack_close(stack);
		return error;
	}
	stack->merged = plan->index;
	stack->release = plan->release;
	stack->owner = plan->owner;
	return 0;
}
