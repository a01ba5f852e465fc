/* SPDX-License-Identifier: MIT
 *
 * overlay_read.c - a read of an overlay is planned along the map into reads of the
 * base and of the file, straight into the buffer; zeros are put there at once.
 *
 * Runs that come from the same object one after the other become one read in
 * parts, where that object takes parts: a snapshot below gets the runs of a
 * working set together, as it would without an overlay.
 *
 *            +---------------- more to do ----------------+
 *            v                                            |
 *   read -> plan a batch -> submit its transfers -> the last is over -> complete
 *
 * `pending` counts the transfers of the batch that are in flight, and one for
 * whoever submits them; whoever takes it to zero has the state and goes on, so there
 * is no recursion and no lock. A queue belongs to one thread: what is planned on
 * another one is read without it. States are kept for the next read, and go
 * back before their read completes, because that may drop the last reference.
 *
 * A block may change while it is read. Then the read has either content: the place
 * where the old one was is overwritten only by the new one, or becomes a hole.
 *
 * A background read is in a list while it is in flight, so that its transfers can be
 * hurried; `hurriable` of them were submitted and are not submitted anew.
 */
#include "backing/overlay_object.h"

#include "core/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFERS 32
#define PIECES 128

struct transfer {
	struct lazymem_read read; /* its context is the state */
	struct lazymem_backing *from;
};

struct lm_overlay_read {
	struct lm_overlay_read *next, **to_this; /* among the spare ones, or in the background */
	struct lm_overlay *overlay;
	struct lazymem_read *outer;
	pthread_t thread; /* the one that outer->queue belongs to */
	unsigned flags;
	size_t hurriable;

	/* What is not planned yet: `left` bytes from `offset` on, and the parts after
	 * `part`. */
	const struct lazymem_read_part *part;
	size_t parts_left;
	uint64_t offset;
	size_t left;
	unsigned char *to;

	/* The batch. */
	atomic_uint pending;
	atomic_int error; /* of any transfer */
	size_t transfer_count;
	size_t piece_count;
	struct transfer transfers[TRANSFERS];
	struct lazymem_read_part pieces[PIECES];
};

/* ---- states --------------------------------------------------------------- */

static bool is_background(const struct lm_overlay_read *state)
{
	return (state->outer->flags & LAZYMEM_READ_BACKGROUND) != 0;
}

static struct lm_overlay_read *take_state(struct lm_overlay *overlay)
{
	struct lm_overlay_read *state;

	pthread_mutex_lock(&overlay->lock);
	state = overlay->spare_reads;
	if (state != NULL)
		overlay->spare_reads = state->next;
	pthread_mutex_unlock(&overlay->lock);
	if (state != NULL)
		return state;
	state = calloc(1, sizeof(*state));
	if (state != NULL)
		state->overlay = overlay;
	return state;
}

static void enter_background(struct lm_overlay_read *state)
{
	struct lm_overlay *overlay = state->overlay;

	pthread_mutex_lock(&overlay->lock);
	state->next = overlay->background;
	state->to_this = &overlay->background;
	if (state->next != NULL)
		state->next->to_this = &state->next;
	overlay->background = state;
	pthread_mutex_unlock(&overlay->lock);
}

static void give_back(struct lm_overlay_read *state)
{
	struct lm_overlay *overlay = state->overlay;

	pthread_mutex_lock(&overlay->lock);
	if (is_background(state)) {
		*state->to_this = state->next;
		if (state->next != NULL)
			state->next->to_this = state->to_this;
	}
	state->next = overlay->spare_reads;
	overlay->spare_reads = state;
	pthread_mutex_unlock(&overlay->lock);
}

void lm_overlay_free_reads(struct lm_overlay *overlay)
{
	while (overlay->spare_reads != NULL) {
		struct lm_overlay_read *state = overlay->spare_reads;

		overlay->spare_reads = state->next;
		free(state);
	}
}

/* ---- hurry ---------------------------------------------------------------- */

/* Under the lock. */
static void hurry_transfers(struct lm_overlay_read *state)
{
	for (size_t i = 0; i < state->hurriable; i++)
		lazymem_backing_hurry(state->transfers[i].from, &state->transfers[i].read);
}

/* None can be hurried from now on. Returns the flags of those to come. */
static unsigned stop_hurrying(struct lm_overlay_read *state)
{
	unsigned flags;

	if (!is_background(state))
		return state->flags;
	pthread_mutex_lock(&state->overlay->lock);
	state->hurriable = 0;
	flags = state->flags;
	pthread_mutex_unlock(&state->overlay->lock);
	return flags;
}

/* All transfers of the batch were submitted with these flags. Who has come to wait
 * meanwhile has found none to hurry. */
static void let_hurry(struct lm_overlay_read *state, unsigned flags)
{
	if (!is_background(state))
		return;
	pthread_mutex_lock(&state->overlay->lock);
	state->hurriable = state->transfer_count;
	if (state->flags != flags)
		hurry_transfers(state);
	pthread_mutex_unlock(&state->overlay->lock);
}

void lm_overlay_hurry(void *object, struct lazymem_read *read)
{
	struct lm_overlay *overlay = object;
	struct lm_overlay_read *state;

	pthread_mutex_lock(&overlay->lock);
	for (state = overlay->background; state != NULL && state->outer != read;)
		state = state->next;
	if (state != NULL) {
		state->flags = 0;
		hurry_transfers(state);
	}
	pthread_mutex_unlock(&overlay->lock);
}

/* ---- plan ----------------------------------------------------------------- */

/* Does the last transfer go on with a piece from there? */
static bool goes_on(const struct lm_overlay_read *state, const struct lazymem_backing *from)
{
	const struct transfer *last;

	if (state->transfer_count == 0)
		return false;
	last = &state->transfers[state->transfer_count - 1];
	return last->from == from &&
	       (unsigned char *)last->read.buffer + last->read.length == state->to;
}

/* Plan `length` bytes from an object; false: there is no room in the batch. */
static bool add_piece(struct lm_overlay_read *state, struct lazymem_backing *from, size_t length)
{
	struct transfer *transfer = &state->transfers[state->transfer_count];

	if (state->piece_count == PIECES)
		return false;
	if (goes_on(state, from) && lazymem_backing_takes_parts(from)) {
		transfer--;
	} else {
		if (state->transfer_count == TRANSFERS)
			return false;
		state->transfer_count++;
		transfer->from = from;
		transfer->read = (struct lazymem_read){.offset = state->offset,
						       .buffer = state->to,
						       .parts = &state->pieces[state->piece_count]};
	}
	state->pieces[state->piece_count++] =
		(struct lazymem_read_part){.offset = state->offset, .length = length};
	transfer->read.length += length;
	transfer->read.part_count++;
	return true;
}

/* Go on behind what is planned, to the next part when this one is over. */
static void advance(struct lm_overlay_read *state, size_t length)
{
	state->offset += length;
	state->left -= length;
	state->to += length;
	if (state->left == 0 && state->parts_left != 0) {
		state->parts_left--;
		state->part++;
		state->offset = state->part->offset;
		state->left = state->part->length;
	}
}

static void plan_batch(struct lm_overlay_read *state)
{
	struct lm_overlay *overlay = state->overlay;

	state->transfer_count = 0;
	state->piece_count = 0;
	while (state->left != 0) {
		enum lm_overlay_state where;
		const size_t run = (size_t)lm_overlay_map_run(&overlay->map, state->offset,
							      state->left, &where);

		if (where == LM_OVERLAY_ZERO)
			memset(state->to, 0, run);
		else if (!add_piece(state, where == LM_OVERLAY_DATA ? overlay->data : overlay->base,
				    run))
			return;
		advance(state, run);
	}
}

/* ---- progress ------------------------------------------------------------- */

static void go_on(struct lm_overlay_read *state);

static void transfer_completed(struct lazymem_read *read, int error)
{
	struct lm_overlay_read *state = read->context;

	if (error != 0)
		atomic_store(&state->error, error);
	if (atomic_fetch_sub_explicit(&state->pending, 1, memory_order_acq_rel) == 1)
		go_on(state);
}

/* Submit the batch; true when all of it is over already. */
static bool submit_batch(struct lm_overlay_read *state)
{
	void *queue = pthread_equal(pthread_self(), state->thread) ? state->outer->queue : NULL;
	const unsigned flags = stop_hurrying(state);

	atomic_store_explicit(&state->pending, (unsigned)state->transfer_count + 1,
			      memory_order_relaxed);
	for (size_t i = 0; i < state->transfer_count; i++) {
		struct transfer *transfer = &state->transfers[i];

		if (transfer->read.part_count == 1) {
			transfer->read.parts = NULL;
			transfer->read.part_count = 0;
		}
		transfer->read.complete = transfer_completed;
		transfer->read.context = state;
		transfer->read.queue = queue;
		transfer->read.flags = flags;
		lazymem_backing_submit(transfer->from, &transfer->read);
	}
	let_hurry(state, flags);
	return atomic_fetch_sub_explicit(&state->pending, 1, memory_order_acq_rel) == 1;
}

/* Batch after batch, until one is in flight or the read is over. */
static void go_on(struct lm_overlay_read *state)
{
	struct lazymem_read *outer = state->outer;
	int error = atomic_load(&state->error);

	while (error == 0 && state->left != 0) {
		stop_hurrying(state);
		plan_batch(state);
		if (state->transfer_count != 0 && !submit_batch(state))
			return;
		error = atomic_load(&state->error);
	}
	give_back(state);
	lazymem_read_complete(outer, error);
}

void lm_overlay_read(void *object, struct lazymem_read *read)
{
	struct lm_overlay_read *state = take_state(object);

	if (state == NULL) {
		lazymem_read_complete(read, -ENOMEM);
		return;
	}
	state->outer = read;
	state->thread = pthread_self();
	state->flags = read->flags;
	state->hurriable = 0;
	state->to = read->buffer;
	state->part = read->parts;
	state->parts_left = read->parts != NULL ? read->part_count - 1 : 0;
	state->offset = read->parts != NULL ? read->parts->offset : read->offset;
	state->left = read->parts != NULL ? read->parts->length : read->length;
	atomic_store(&state->error, 0);
	if (is_background(state))
		enter_background(state);
	go_on(state);
}
