/* SPDX-License-Identifier: MIT
 *
 * stack_plan.c - which reads of files one read of a stack takes.
 *
 * The wanted bytes are taken one piece after the other, a piece being what
 * lies in one chunk and one part. A piece of a zero chunk is filled at once.
 * Whole raw pages go straight to their place; when the next piece goes on both
 * in the file and in the buffer, its bytes come with the same transfer. So a
 * working set that is stored in the order in which it is asked for is one large
 * read, wherever its pages are in memory.
 *
 * What cannot go straight is staged: compressed chunks, and pages of which only
 * a part is wanted, because a checksum is of a page. Chunks that are stored side
 * by side, or nearly so, are staged together, and short raw runs among them come
 * along, for a copy costs less than a read. What is staged is read in whole
 * blocks of 4096 bytes of the file, so that O_DIRECT is possible.
 *
 * A batch ends where transfers, runs or staging are used up. The staging of the
 * last transfer is the last that is taken, so it can grow in place.
 */
#include "backing/stack_read.h"

#include "core/checked.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DIRECT_LIMIT ((size_t)2 << 20)   /* bytes of one transfer */
#define STAGED_LIMIT ((size_t)256 << 10) /* likewise, but for a single chunk */
#define GAP_LIMIT ((uint64_t)16 << 10)   /* reading over so much costs less than reading twice */
#define ABSORB_LIMIT ((size_t)16 << 10)  /* raw bytes that are copied to spare a transfer */

_Static_assert(LM_STACK_STAGING >= STAGED_LIMIT + 2 * LM_SNAPSHOT_PAGE, "one transfer fits");

static struct lm_stack_transfer *last_transfer(struct lm_stack_read *state)
{
	return state->transfer_count > 0 ? &state->transfers[state->transfer_count - 1] : NULL;
}

static uint64_t aligned_end(uint64_t end)
{
	return lm_align_down(end + LM_SNAPSHOT_PAGE - 1, LM_SNAPSHOT_PAGE);
}

/* ---- straight to its place ------------------------------------------------ */

/* The last transfer, when what is at `position` goes on there. */
static struct lm_stack_transfer *direct_before(struct lm_stack_read *state, size_t source,
					       uint64_t position)
{
	struct lm_stack_transfer *last = last_transfer(state);

	if (last == NULL || last->staging != NULL || last->source != source ||
	    last->end != position || last->read.length >= DIRECT_LIMIT ||
	    (unsigned char *)last->read.buffer + last->read.length != state->to)
		return NULL;
	return last;
}

/* Has the last run these checksums next? */
static bool sums_go_on(const struct lm_stack_run *run, const uint32_t *sums)
{
	return run->sums + run->length / LM_SNAPSHOT_PAGE == sums;
}

/* Note that the pages at state->to are to be checked. False without room. */
static bool add_direct_run(struct lm_stack_read *state, struct lm_stack_transfer *transfer,
			   const uint32_t *sums, size_t length)
{
	struct lm_stack_run *run = &state->runs[state->run_count];

	if (transfer->run_count > 0 && sums_go_on(run - 1, sums)) {
		run[-1].length += length;
		return true;
	}
	if (state->run_count == LM_STACK_RUNS)
		return false;
	*run = (struct lm_stack_run){.sums = sums, .length = length, .to = state->to};
	state->run_count++;
	transfer->run_count++;
	return true;
}

/* Returns how many of `length` bytes were planned; 0: the batch is full. */
static size_t plan_direct(struct lm_stack_read *state, size_t source, uint64_t position,
			  const uint32_t *sums, size_t length)
{
	struct lm_stack_transfer *transfer = direct_before(state, source, position);
	const bool is_new = transfer == NULL;

	if (is_new) {
		if (state->transfer_count == LM_STACK_TRANSFERS)
			return 0;
		transfer = &state->transfers[state->transfer_count];
		transfer->source = source;
		transfer->position = position;
		transfer->end = position;
		transfer->staging = NULL;
		transfer->first_run = state->run_count;
		transfer->run_count = 0;
		transfer->read.buffer = state->to;
		transfer->read.length = 0;
	}
	length = (size_t)lm_min(length, DIRECT_LIMIT - transfer->read.length);
	if (sums != NULL && !add_direct_run(state, transfer, sums, length))
		return 0;
	if (is_new)
		state->transfer_count++;
	transfer->end += length;
	transfer->read.length += length;
	return length;
}

/* ---- staged ---------------------------------------------------------------- */

/* The last transfer, when what is stored at [position, end) can come with it. */
static struct lm_stack_transfer *staged_before(struct lm_stack_read *state, size_t source,
					       uint64_t position, uint64_t end)
{
	struct lm_stack_transfer *last = last_transfer(state);
	size_t taken;

	if (last == NULL || last->staging == NULL || last->source != source ||
	    position < last->position || position > last->end + GAP_LIMIT ||
	    aligned_end(end) - last->position > STAGED_LIMIT)
		return NULL;
	taken = (size_t)(last->staging - state->staging);
	return aligned_end(end) - last->position <= LM_STACK_STAGING - taken ? last : NULL;
}

static struct lm_stack_transfer *new_staged(struct lm_stack_read *state, size_t source,
					    uint64_t position, uint64_t end)
{
	struct lm_stack_transfer *transfer = &state->transfers[state->transfer_count];
	const uint64_t start = lm_align_down(position, LM_SNAPSHOT_PAGE);

	if (state->transfer_count == LM_STACK_TRANSFERS ||
	    aligned_end(end) - start > LM_STACK_STAGING - state->staged)
		return NULL;
	transfer->source = source;
	transfer->position = start;
	transfer->end = end;
	transfer->staging = state->staging + state->staged;
	transfer->absorbed = 0;
	transfer->first_run = state->run_count;
	transfer->run_count = 0;
	transfer->read.buffer = transfer->staging;
	state->transfer_count++;
	return transfer;
}

/* Stage `stored` bytes for a run. False when the batch is full, or there is no
 * memory: state->error tells. */
static bool plan_staged(struct lm_stack_read *state, size_t source, const struct lm_stack_run *run,
			size_t stored)
{
	const uint64_t end = run->position + stored;
	struct lm_stack_transfer *transfer;

	if (state->run_count == LM_STACK_RUNS)
		return false;
	if (state->staging == NULL) {
		state->staging = aligned_alloc(LM_SNAPSHOT_PAGE, LM_STACK_STAGING);
		if (state->staging == NULL) {
			state->error = -ENOMEM;
			return false;
		}
	}
	transfer = staged_before(state, source, run->position, end);
	if (transfer == NULL)
		transfer = new_staged(state, source, run->position, end);
	if (transfer == NULL)
		return false;
	if (end > transfer->end)
		transfer->end = end;
	transfer->read.length = (size_t)(aligned_end(transfer->end) - transfer->position);
	state->staged = (size_t)(transfer->staging - state->staging) + transfer->read.length;
	transfer->absorbed = run->chunk != NULL ? 0 : transfer->absorbed + stored;
	state->runs[state->run_count++] = *run;
	transfer->run_count++;
	return true;
}

/* ---- pieces --------------------------------------------------------------- */

/* Is it better to copy so many raw bytes than to begin a transfer of their own? */
static bool is_worth_staging(struct lm_stack_read *state, size_t source, uint64_t position,
			     size_t length)
{
	const struct lm_stack_transfer *before;

	before = staged_before(state, source, position, position + length);
	return before != NULL && length + before->absorbed <= ABSORB_LIMIT;
}

/* The first `length` bytes, or fewer, from state->offset on are raw. */
static size_t plan_raw(struct lm_stack_read *state, const struct lm_chunk *chunk, size_t length)
{
	const struct lm_stack *stack = state->stack;
	const uint64_t skipped = state->offset - lm_stack_start(&stack->index, chunk);
	const size_t front = (size_t)(skipped % LM_SNAPSHOT_PAGE);
	const uint32_t *sums = stack->sources[chunk->layer].sums;
	struct lm_stack_run run = {.position = chunk->position + skipped - front, .to = state->to};

	if (sums == NULL)
		return plan_direct(state, chunk->layer, chunk->position + skipped, NULL, length);
	run.sums = sums + chunk->checksum + skipped / LM_SNAPSHOT_PAGE;
	if (front != 0 || length < LM_SNAPSHOT_PAGE) {
		run.skip = front;
		run.length = (size_t)lm_min(length, LM_SNAPSHOT_PAGE - front);
		return plan_staged(state, chunk->layer, &run, LM_SNAPSHOT_PAGE) ? run.length : 0;
	}
	run.length = (size_t)lm_align_down(length, LM_SNAPSHOT_PAGE);
	if (is_worth_staging(state, chunk->layer, run.position, run.length))
		return plan_staged(state, chunk->layer, &run, run.length) ? run.length : 0;
	return plan_direct(state, chunk->layer, run.position, run.sums, run.length);
}

/* As many are in a compressed chunk. */
static size_t plan_compressed(struct lm_stack_read *state, const struct lm_chunk *chunk,
			      size_t length)
{
	const struct lm_stack *stack = state->stack;
	const uint64_t skip = state->offset - lm_stack_start(&stack->index, chunk);
	const struct lm_stack_run run = {
		.chunk = chunk,
		.sums = stack->sources[chunk->layer].sums + chunk->checksum +
			skip / LM_SNAPSHOT_PAGE,
		.position = chunk->position,
		.skip = (size_t)skip,
		.length = length,
		.to = state->to,
	};

	if (state->decoded_chunk == chunk) {
		state->error = lm_stack_deliver_decoded(state, &run);
		return state->error == 0 ? length : 0;
	}
	return plan_staged(state, chunk->layer, &run, chunk->stored) ? length : 0;
}

/* The chunk of the flat index at state->offset; often that of the last piece,
 * or the next. */
static const struct lm_chunk *current_chunk(struct lm_stack_read *state)
{
	const struct lm_stack_index *index = &state->stack->index;
	const struct lm_chunk *chunk = state->chunk;

	if (chunk != NULL && state->offset == lm_stack_end(index, chunk))
		chunk++;
	else if (chunk == NULL || state->offset < lm_stack_start(index, chunk) ||
		 state->offset > lm_stack_end(index, chunk))
		chunk = lm_stack_find(index, state->offset);
	state->chunk = chunk;
	return chunk;
}

/* Plan a piece; returns how many bytes it has. 0: the batch is full, or
 * state->error is set. */
static size_t plan_piece(struct lm_stack_read *state)
{
	const struct lm_stack *stack = state->stack;
	const struct lm_chunk *chunk = current_chunk(state);
	const uint64_t in_chunk = lm_stack_end(&stack->index, chunk) - state->offset;
	const size_t length = (size_t)lm_min(state->left, in_chunk);

	switch (chunk->kind) {
	case LAZYMEM_CHUNK_ZERO:
		memset(state->to, 0, length);
		return length;
	case LAZYMEM_CHUNK_RAW:
		return plan_raw(state, chunk, length);
	case LM_CHUNK_REFERENCE:
		chunk = &stack->sources[chunk->layer].chunks[chunk->position];
		break;
	default:
		break;
	}
	return plan_compressed(state, chunk, length);
}

int lm_stack_plan_batch(struct lm_stack_read *state)
{
	state->transfer_count = 0;
	state->run_count = 0;
	state->staged = 0;
	for (;;) {
		size_t planned;

		if (state->left == 0) {
			if (state->parts_left == 0)
				return 0;
			state->part++;
			state->parts_left--;
			state->offset = state->part->offset;
			state->left = state->part->length;
		}
		planned = plan_piece(state);
		if (planned == 0) {
			assert(state->error != 0 || state->transfer_count > 0);
			return state->error;
		}
		state->offset += planned;
		state->left -= planned;
		state->to += planned;
	}
}
