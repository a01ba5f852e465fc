/* SPDX-License-Identifier: MIT
 *
 * stack_deliver.c - what was read from files becomes what was asked for. No
 * page leaves here whose checksum is not the one in the file: it is computed of
 * the page as it is in memory, after decoding, and before the read completes.
 *
 * A chunk that is wanted as a whole is decoded straight to its place. Of any
 * other one the decoded bytes are kept, because the next fault is often on its
 * next page; but not those in which a page was wrong, for whoever tries again
 * means what is stored.
 */
#include "backing/stack_read.h"

#include "core/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int check_pages(const unsigned char *bytes, const uint32_t *sums, size_t length)
{
	for (size_t at = 0; at < length; at += LM_SNAPSHOT_PAGE)
		if (lm_crc32c(0, bytes + at, LM_SNAPSHOT_PAGE) != *sums++)
			return -EBADMSG;
	return 0;
}

/* Check the pages that a run touches, and copy what it wants of them; `pages`
 * is where the first of them is. */
static int copy_checked(const struct lm_stack_run *run, const unsigned char *pages)
{
	const size_t front = run->skip % LM_SNAPSHOT_PAGE;
	const int error = check_pages(pages, run->sums, front + run->length);

	if (error == 0)
		memcpy(run->to, pages + front, run->length);
	return error;
}

int lm_stack_deliver_decoded(struct lm_stack_read *state, const struct lm_stack_run *run)
{
	const int error =
		copy_checked(run, state->decoded + run->skip - run->skip % LM_SNAPSHOT_PAGE);

	if (error != 0)
		state->decoded_chunk = NULL;
	return error;
}

/* Decode the chunk of a run into state->decoded, unless it is there. */
static int decode(struct lm_stack_read *state, const struct lm_chunk *chunk,
		  const unsigned char *stored)
{
	int error;

	if (state->decoded_chunk == chunk)
		return 0;
	if (state->decoded == NULL) {
		state->decoded = malloc(LM_STACK_DECODED);
		if (state->decoded == NULL)
			return -ENOMEM;
	}
	state->decoded_chunk = NULL;
	error = lm_codec_decompress(&state->codec, chunk->kind, stored, chunk->stored,
				    state->decoded, chunk->count * LM_SNAPSHOT_PAGE);
	if (error == 0)
		state->decoded_chunk = chunk;
	return error;
}

static int deliver_staged(struct lm_stack_read *state, const struct lm_stack_transfer *transfer,
			  const struct lm_stack_run *run)
{
	const unsigned char *stored = transfer->staging + (run->position - transfer->position);
	int error;

	if (run->chunk == NULL)
		return copy_checked(run, stored);
	if (run->length == run->chunk->count * LM_SNAPSHOT_PAGE) {
		error = lm_codec_decompress(&state->codec, run->chunk->kind, stored,
					    run->chunk->stored, run->to, run->length);
		return error == 0 ? check_pages(run->to, run->sums, run->length) : error;
	}
	error = decode(state, run->chunk, stored);
	return error == 0 ? lm_stack_deliver_decoded(state, run) : error;
}

static int deliver(struct lm_stack_read *state, const struct lm_stack_transfer *transfer)
{
	int error = transfer->error;

	for (size_t i = 0; error == 0 && i < transfer->run_count; i++) {
		const struct lm_stack_run *run = &state->runs[transfer->first_run + i];

		error = transfer->staging != NULL ? deliver_staged(state, transfer, run)
						  : check_pages(run->to, run->sums, run->length);
	}
	return error;
}

int lm_stack_deliver_batch(struct lm_stack_read *state)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < state->transfer_count; i++)
		error = deliver(state, &state->transfers[i]);
	return error;
}
