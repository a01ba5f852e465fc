/* SPDX-License-Identifier: MIT
 *
 * overlay_discard.c - a discard is a change of the map: its blocks are ZERO. Their
 * places in the file become holes, to give the space back; whether that succeeds
 * makes no difference to what is read.
 *
 * The hole may be durable before the map is. Then a block that was DATA in the file
 * reads as zero after a crash, which is what it was to become.
 *
 * A block that is being lifted would be DATA again with its old content, so the
 * discard waits for it; lifting never waits for the thread that is here. A write of
 * whole blocks that is in flight has no order with it.
 *
 * The bytes of a block that is discarded in part are overwritten with zeros in the
 * file, after it was lifted. That must not happen while all of the block is being
 * written for the first time, and cannot wait for it either, because the write may be
 * in a queue of the calling thread: -EBUSY.
 */
#include "backing/overlay_object.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>

/* Under the lock. Is one of these blocks being lifted? */
static bool is_lifting(const struct lm_overlay *overlay, uint64_t first, uint64_t count)
{
	for (const struct lm_overlay_write *write = overlay->under_way; write != NULL;
	     write = write->next)
		if (write->lifts && write->offset / LM_OVERLAY_BLOCK < first + count &&
		    (write->offset + write->length - 1) / LM_OVERLAY_BLOCK >= first)
			return true;
	return false;
}

static uint64_t set_zero(struct lm_overlay *overlay, struct lm_overlay_blocks blocks)
{
	uint64_t failures;

	pthread_mutex_lock(&overlay->lock);
	while (is_lifting(overlay, blocks.first, blocks.count))
		pthread_cond_wait(&overlay->lifted, &overlay->lock);
	lm_overlay_map_set(&overlay->map, blocks.first, blocks.count, LM_OVERLAY_ZERO);
	failures = atomic_load(&overlay->failures);
	pthread_mutex_unlock(&overlay->lock);
	return failures;
}

/* Once more when a flush fails meanwhile: the map has gone back then, and no later
 * flush would tell. */
static void discard_blocks(struct lm_overlay *overlay, struct lm_overlay_blocks blocks)
{
	uint64_t failures;

	do {
		failures = set_zero(overlay, blocks);
		(void)lazymem_backing_discard(overlay->data, blocks.first * LM_OVERLAY_BLOCK,
					      blocks.count * LM_OVERLAY_BLOCK);
	} while (failures != atomic_load(&overlay->failures));
}

/* Be under way, as a write of these bytes would be. */
static int enter(struct lm_overlay_write *zeros)
{
	struct lm_overlay *overlay = zeros->overlay;
	const uint64_t block = zeros->offset / LM_OVERLAY_BLOCK;
	bool conflicts;

	pthread_mutex_lock(&overlay->lock);
	while (is_lifting(overlay, block, 1))
		pthread_cond_wait(&overlay->lifted, &overlay->lock);
	conflicts = lm_overlay_conflicts(zeros);
	if (!conflicts)
		lm_overlay_enter(zeros);
	pthread_mutex_unlock(&overlay->lock);
	if (conflicts)
		return lm_error(-EBUSY, "the block at %" PRIu64 " is being written",
				block * LM_OVERLAY_BLOCK);
	return 0;
}

/* Overwrite a part of one block with zeros. */
static int zero_part(struct lm_overlay *overlay, uint64_t offset, uint64_t length)
{
	static const unsigned char nothing[LM_OVERLAY_BLOCK];
	struct lm_overlay_write zeros = {.overlay = overlay, .offset = offset, .length = length};
	int error;

	if (length == 0)
		return 0;
	error = enter(&zeros);
	if (error != 0)
		return error;
	error = lm_overlay_lift(&zeros);
	if (error == 0)
		error = lazymem_backing_write(overlay->data, offset, nothing, (size_t)length);
	return lm_overlay_leave(&zeros, error);
}

int lm_overlay_discard(void *object, uint64_t offset, uint64_t length)
{
	struct lm_overlay *overlay = object;
	const struct lm_overlay_blocks blocks = lm_overlay_whole_blocks(overlay, offset, length);
	const uint64_t start = blocks.first * LM_OVERLAY_BLOCK;
	const uint64_t whole_end = (blocks.first + blocks.count) * LM_OVERLAY_BLOCK;
	const uint64_t end = offset + length;
	int error = zero_part(overlay, offset, lm_min(start, end) - offset);

	if (error == 0 && end > whole_end && end > start)
		error = zero_part(overlay, whole_end, end - whole_end);
	if (error == 0 && blocks.count != 0)
		discard_blocks(overlay, blocks);
	return error;
}
