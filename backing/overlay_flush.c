/* SPDX-License-Identifier: MIT
 *
 * overlay_flush.c - what was written becomes durable: first the bytes, then the map
 * that says where they are.
 *
 *   stage the map ---> flush data ---> write the staged sectors ---> flush ---> settle
 *                          |                      |                    |
 *                          +----------------------+--------------------+--> revert
 *
 * The map is staged before the data is flushed: it tells of no write that is not
 * over by then. Where nothing of it has changed, the first flush is all.
 *
 * One round runs at a time, or an older copy of a sector could be written over a
 * newer one. Who comes meanwhile waits for the next round, which serves all who
 * wait; so a crowd shares two flushes of the file. A round runs on the queue of its
 * first member, on the thread of that; elsewhere without a queue.
 *
 * `pending` is two while a step is submitted: one for the step, and one for whoever
 * submits. Who takes it to zero goes on.
 */
#include "backing/overlay_object.h"

#include <stddef.h>

enum step {
	FLUSH_DATA,
	WRITE_MAP,
	FLUSH_MAP,
};

/* In the scratch of a flush that waits. */
struct member {
	struct lazymem_write *next;
	pthread_t thread;
};

_Static_assert(sizeof(struct member) <= LAZYMEM_WRITE_SCRATCH, "a member fits into its scratch");
_Static_assert(_Alignof(struct member) <= _Alignof(uint64_t), "and is aligned there");

static struct member *member_of(struct lazymem_write *flush)
{
	return (struct member *)(void *)flush->scratch.bytes;
}

/* ---- a round -------------------------------------------------------------- */

/* Under the lock: begin one for all who wait. */
static void begin(struct lm_overlay *overlay)
{
	struct lm_overlay_round *round = &overlay->round;

	round->is_running = true;
	round->members = round->waiting;
	round->waiting = NULL;
	round->waiting_end = &round->waiting;
	round->queue = round->members != NULL ? round->members->queue : NULL;
	round->thread = round->members != NULL ? member_of(round->members)->thread : pthread_self();
	round->step = FLUSH_DATA;
	round->sector = 0;
	round->error = 0;
	round->has_map = lm_overlay_map_stage(&overlay->map);
	overlay->is_unflushed = false;
}

/* End it, and tell all who are in it. True when another one has begun; else the
 * overlay may be gone. */
static bool end(struct lm_overlay *overlay)
{
	struct lm_overlay_round *round = &overlay->round;
	struct lazymem_write *flush = round->members;
	const int error = round->error;
	bool goes_on;

	pthread_mutex_lock(&overlay->lock);
	if (error == 0) {
		lm_overlay_map_settle(&overlay->map);
	} else {
		lm_overlay_map_revert(&overlay->map);
		overlay->is_unflushed = true;
		atomic_fetch_add(&overlay->failures, 1);
	}
	goes_on = round->waiting != NULL;
	round->is_running = goes_on;
	if (goes_on)
		begin(overlay);
	pthread_mutex_unlock(&overlay->lock);
	while (flush != NULL) {
		struct lazymem_write *next = member_of(flush)->next;

		lazymem_write_complete(flush, error);
		flush = next;
	}
	return goes_on;
}

/* ---- steps ---------------------------------------------------------------- */

static void run(struct lm_overlay *overlay);

static void step_completed(struct lazymem_write *child, int error)
{
	struct lm_overlay *overlay = child->context;

	overlay->round.error = error;
	if (atomic_fetch_sub(&overlay->round.pending, 1) == 1)
		run(overlay);
}

static void submit_flush(struct lm_overlay *overlay)
{
	overlay->round.step++;
	lazymem_backing_submit_flush(overlay->data, &overlay->round.child);
}

/* The next run of sectors, or, when all are written, the flush after them. */
static void submit_map(struct lm_overlay *overlay)
{
	struct lm_overlay_round *round = &overlay->round;
	uint64_t first, count;
	bool any;

	pthread_mutex_lock(&overlay->lock);
	any = lm_overlay_map_staged(&overlay->map, round->sector, &first, &count);
	pthread_mutex_unlock(&overlay->lock);
	if (!any) {
		round->step = FLUSH_MAP;
		submit_flush(overlay);
		return;
	}
	round->sector = first + count;
	round->child.offset = first * LM_OVERLAY_SECTOR;
	round->child.length = (size_t)count * LM_OVERLAY_SECTOR;
	round->child.buffer = overlay->map.staged + first * LM_OVERLAY_SECTOR;
	lazymem_backing_submit_write(overlay->sheets, &round->child);
}

/* Is nothing left to do? */
static bool is_over(const struct lm_overlay_round *round)
{
	return round->error != 0 || round->step > FLUSH_MAP ||
	       (round->step > FLUSH_DATA && !round->has_map);
}

/* Step after step, until one is in flight, and round after round. */
static void run(struct lm_overlay *overlay)
{
	struct lm_overlay_round *round = &overlay->round;

	for (;;) {
		if (is_over(round)) {
			if (!end(overlay))
				return;
			continue;
		}
		round->child = (struct lazymem_write){
			.complete = step_completed,
			.context = overlay,
			.queue = pthread_equal(pthread_self(), round->thread) ? round->queue : NULL,
		};
		atomic_store(&round->pending, 2);
		if (round->step == FLUSH_DATA)
			submit_flush(overlay);
		else
			submit_map(overlay);
		if (atomic_fetch_sub(&round->pending, 1) != 1)
			return;
	}
}

/* ---- flushes -------------------------------------------------------------- */

void lm_overlay_flush(void *object, struct lazymem_write *flush)
{
	struct lm_overlay *overlay = object;
	struct lm_overlay_round *round = &overlay->round;
	bool is_running;

	*member_of(flush) = (struct member){.next = NULL, .thread = pthread_self()};
	pthread_mutex_lock(&overlay->lock);
	*round->waiting_end = flush;
	round->waiting_end = &member_of(flush)->next;
	is_running = round->is_running;
	if (!is_running)
		begin(overlay);
	pthread_mutex_unlock(&overlay->lock);
	if (!is_running)
		run(overlay);
}

void lm_overlay_flush_last(struct lm_overlay *overlay)
{
	bool is_unflushed;

	pthread_mutex_lock(&overlay->lock);
	is_unflushed = overlay->is_unflushed;
	begin(overlay);
	pthread_mutex_unlock(&overlay->lock);
	if (is_unflushed || overlay->round.has_map)
		run(overlay);
}
