/* SPDX-License-Identifier: MIT
 *
 * overlay_write.c - how an overlay is written.
 *
 * A write goes to its place in the file as it is, and the blocks that it covers
 * wholly become DATA when it is over. A block that it covers in part, and which is
 * not DATA, is lifted first: its 4096 bytes are brought up from the base, or are
 * zeros, written, and the block is DATA, with the same content as before. So
 * lifting changes nothing that anybody reads, and after it the write is one like any
 * other.
 *
 *   submit ---> waits ---> lifts ---> in flight ---> over
 *      |          ^  |       ^            ^
 *      +----------+  +-------+            |     conflicts with none: no waiting
 *      +----------------------------------+     no block in part: no lifting
 *
 * Somebody else's bytes must not be lost under what is lifted. So one that lifts
 * conflicts with every write under way that shares a block with it, and every write
 * conflicts with those that lift. Who conflicts waits, in order, and goes on when
 * the others have left, on the thread of the last of them; its queue is used on its
 * own thread only. Two writes that do not lift never conflict: either all of a
 * block is written by one of them, which has no order with the other, or it is DATA
 * and they write beside each other.
 *
 * Lifting blocks the calling thread for a read of the base and a write of a block.
 * Guests' pages are whole blocks: they lift nothing.
 *
 * A write that fails leaves blocks that were not DATA as they were. One during which
 * a flush has failed fails, see overlay.c.
 */
#include "backing/overlay_object.h"

#include "core/checked.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- states --------------------------------------------------------------- */

static struct lm_overlay_write *take_state(struct lm_overlay *overlay)
{
	struct lm_overlay_write *state;

	pthread_mutex_lock(&overlay->lock);
	state = overlay->spare_writes;
	if (state != NULL)
		overlay->spare_writes = state->next;
	pthread_mutex_unlock(&overlay->lock);
	return state != NULL ? state : malloc(sizeof(*state));
}

void lm_overlay_free_writes(struct lm_overlay *overlay)
{
	while (overlay->spare_writes != NULL) {
		struct lm_overlay_write *state = overlay->spare_writes;

		overlay->spare_writes = state->next;
		free(state);
	}
}

/* ---- blocks --------------------------------------------------------------- */

static uint64_t first_block(const struct lm_overlay_write *write)
{
	return write->offset / LM_OVERLAY_BLOCK;
}

static uint64_t last_block(const struct lm_overlay_write *write)
{
	return (write->offset + write->length - 1) / LM_OVERLAY_BLOCK;
}

struct lm_overlay_blocks lm_overlay_whole_blocks(const struct lm_overlay *overlay, uint64_t offset,
						 uint64_t length)
{
	const uint64_t first = (offset + LM_OVERLAY_BLOCK - 1) / LM_OVERLAY_BLOCK;
	const uint64_t end = offset + length == overlay->length
				     ? overlay->map.blocks
				     : (offset + length) / LM_OVERLAY_BLOCK;

	return (struct lm_overlay_blocks){first, end > first ? end - first : 0};
}

/* Is this block covered in part, and must be brought up? */
static bool must_lift(const struct lm_overlay_write *write, uint64_t block)
{
	const struct lm_overlay_blocks whole =
		lm_overlay_whole_blocks(write->overlay, write->offset, write->length);

	return (block < whole.first || block >= whole.first + whole.count) &&
	       lm_overlay_map_get(&write->overlay->map, block) != LM_OVERLAY_DATA;
}

static bool must_lift_any(const struct lm_overlay_write *write)
{
	return must_lift(write, first_block(write)) || must_lift(write, last_block(write));
}

/* ---- who is under way ----------------------------------------------------- */

static bool share_a_block(const struct lm_overlay_write *a, const struct lm_overlay_write *b)
{
	return first_block(a) <= last_block(b) && first_block(b) <= last_block(a);
}

bool lm_overlay_conflicts(const struct lm_overlay_write *write)
{
	const bool lifts = must_lift_any(write);

	for (const struct lm_overlay_write *other = write->overlay->under_way; other != NULL;
	     other = other->next)
		if ((lifts || other->lifts) && share_a_block(write, other))
			return true;
	return false;
}

void lm_overlay_enter(struct lm_overlay_write *write)
{
	struct lm_overlay *overlay = write->overlay;

	write->lifts = must_lift_any(write);
	write->failures = atomic_load(&overlay->failures);
	write->next = overlay->under_way;
	write->to_this = &overlay->under_way;
	if (write->next != NULL)
		write->next->to_this = &write->next;
	overlay->under_way = write;
}

static void remove_from_under_way(struct lm_overlay_write *write)
{
	*write->to_this = write->next;
	if (write->next != NULL)
		write->next->to_this = write->to_this;
}

/* Under the lock: let those enter that waited and have no conflict any more; a list. */
static struct lm_overlay_write *admit(struct lm_overlay *overlay)
{
	struct lm_overlay_write **link = &overlay->waiting;
	struct lm_overlay_write *admitted = NULL, **end = &admitted;

	while (*link != NULL) {
		struct lm_overlay_write *write = *link;

		if (lm_overlay_conflicts(write)) {
			link = &write->next;
			continue;
		}
		*link = write->next;
		lm_overlay_enter(write);
		write->next_admitted = NULL;
		*end = write;
		end = &write->next_admitted;
	}
	overlay->waiting_end = link;
	return admitted;
}

static void start(struct lm_overlay_write *write);

static void start_all(struct lm_overlay_write *admitted)
{
	while (admitted != NULL) {
		struct lm_overlay_write *write = admitted;

		admitted = write->next_admitted;
		start(write);
	}
}

int lm_overlay_leave(struct lm_overlay_write *write, int error)
{
	struct lm_overlay *overlay = write->overlay;
	struct lazymem_write *outer = write->outer;
	const struct lm_overlay_blocks whole =
		lm_overlay_whole_blocks(overlay, write->offset, write->length);
	struct lm_overlay_write *admitted;

	pthread_mutex_lock(&overlay->lock);
	if (error == 0 && write->failures != atomic_load(&overlay->failures))
		error = -EIO;
	overlay->is_unflushed |= error == 0;
	if (error == 0 && outer != NULL && whole.count != 0)
		lm_overlay_map_set(&overlay->map, whole.first, whole.count, LM_OVERLAY_DATA);
	remove_from_under_way(write);
	if (outer != NULL) {
		write->next = overlay->spare_writes;
		overlay->spare_writes = write;
	}
	admitted = admit(overlay);
	pthread_mutex_unlock(&overlay->lock);
	if (outer != NULL)
		lazymem_write_complete(outer, error);
	start_all(admitted);
	return error;
}

/* ---- lifting -------------------------------------------------------------- */

static int lift_block(struct lm_overlay_write *write, uint64_t block)
{
	struct lm_overlay *overlay = write->overlay;
	const uint64_t offset = block * LM_OVERLAY_BLOCK;
	unsigned char bytes[LM_OVERLAY_BLOCK] = {0};
	int error = 0;

	if (!must_lift(write, block))
		return 0;
	if (lm_overlay_map_get(&overlay->map, block) == LM_OVERLAY_BASE)
		error = lazymem_backing_read(overlay->base, offset, bytes, sizeof(bytes));
	if (error == 0)
		error = lazymem_backing_write(overlay->data, offset, bytes, sizeof(bytes));
	if (error != 0)
		return error;
	pthread_mutex_lock(&overlay->lock);
	if (write->failures == atomic_load(&overlay->failures))
		lm_overlay_map_set(&overlay->map, block, 1, LM_OVERLAY_DATA);
	else
		error = -EIO;
	pthread_mutex_unlock(&overlay->lock);
	return error;
}

int lm_overlay_lift(struct lm_overlay_write *write)
{
	struct lm_overlay *overlay = write->overlay;
	struct lm_overlay_write *admitted;
	int error;

	if (!write->lifts)
		return 0;
	error = lift_block(write, first_block(write));
	if (error == 0)
		error = lift_block(write, last_block(write));
	pthread_mutex_lock(&overlay->lock);
	write->lifts = false;
	pthread_cond_broadcast(&overlay->lifted);
	admitted = admit(overlay);
	pthread_mutex_unlock(&overlay->lock);
	start_all(admitted);
	return error;
}

/* ---- writing -------------------------------------------------------------- */

static void child_completed(struct lazymem_write *child, int error)
{
	(void)lm_overlay_leave(child->context, error);
}

/* It is under way: lift, and write. */
static void start(struct lm_overlay_write *write)
{
	const struct lazymem_write *outer = write->outer;
	const int error = lm_overlay_lift(write);

	if (error != 0) {
		(void)lm_overlay_leave(write, error);
		return;
	}
	write->child = (struct lazymem_write){
		.offset = outer->offset,
		.length = outer->length,
		.buffer = outer->buffer,
		.complete = child_completed,
		.context = write,
		.queue = pthread_equal(pthread_self(), write->thread) ? outer->queue : NULL,
	};
	lazymem_backing_submit_write(write->overlay->data, &write->child);
}

void lm_overlay_write(void *object, struct lazymem_write *outer)
{
	struct lm_overlay *overlay = object;
	struct lm_overlay_write *write = take_state(overlay);
	bool waits;

	if (write == NULL) {
		lazymem_write_complete(outer, -ENOMEM);
		return;
	}
	*write = (struct lm_overlay_write){
		.outer = outer,
		.overlay = overlay,
		.thread = pthread_self(),
		.offset = outer->offset,
		.length = outer->length,
	};
	pthread_mutex_lock(&overlay->lock);
	waits = lm_overlay_conflicts(write);
	if (waits) {
		*overlay->waiting_end = write;
		overlay->waiting_end = &write->next;
	} else {
		lm_overlay_enter(write);
	}
	pthread_mutex_unlock(&overlay->lock);
	if (!waits)
		start(write);
}
