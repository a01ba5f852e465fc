/* SPDX-License-Identifier: MIT
 *
 * The life of a slot: claimed pages are read, installed, and the slot is free
 * again.
 *
 *   start -> [read -> complete] -> populate -> end
 *               ^                     |
 *               +--- fail, wait <-----+
 *
 * A read completes on the worker's own thread (at once, from the page cache,
 * or inside lm_queue_run) or on a thread of the backing object. The first goes
 * to a list, the second to a lock-free stack, and a wake-up tells the worker.
 * Either way the pages are installed later, from the worker's loop, so that a
 * completion never recurses into another slot.
 */
#include "uffd/advance.h"

#include "core/checked.h"
#include "core/clock.h"
#include "uffd/attention.h"
#include "uffd/failure.h"
#include "uffd/populate.h"

#include <assert.h>
#include <string.h>

/* How long to wait for a layout that keeps changing, after the first few tries. */
#define POSTPONE_NS UINT64_C(50000)
#define POSTPONE_FREE_TRIES 4

void lm_slot_read_completed(struct lazymem_read *read, int error)
{
	struct lm_slot *slot = read->context;
	struct lm_worker *worker = slot->worker;

	slot->error = error;
	if (lm_slot_is_own(slot)) {
		lm_slot_list_append(slot->demand ? &worker->read_demand : &worker->read_prefetch,
				    slot);
		return;
	}
	/* The worker may go away as soon as it has seen the slot; it waits for zero. */
	atomic_fetch_add(&worker->completing, 1);
	slot->next = atomic_load_explicit(&worker->read_elsewhere, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&worker->read_elsewhere, &slot->next, slot,
						      memory_order_release, memory_order_relaxed))
		continue;
	lm_queue_wake(worker->queue);
	atomic_fetch_sub(&worker->completing, 1);
}

/* Read what is not installed yet: the rest of the run, or the next piece of a
 * page larger than the buffer. */
static void start_read(struct lm_slot *slot)
{
	struct lm_lazy_region *region = slot->region;
	size_t size = slot->worker->buffer_size;
	size_t skip = slot->installed << region->page_shift;

	assert(slot->count <= lm_slot_capacity(slot->worker, region));
	/* Field by field: the scratch bytes need no zeros. */
	slot->read.offset = lm_lazy_region_offset(region, slot->first);
	slot->read.complete = lm_slot_read_completed;
	slot->read.context = slot;
	slot->read.parts = NULL;
	slot->read.flags = lm_slot_is_awaited(slot) ? 0 : LAZYMEM_READ_BACKGROUND;
	slot->read.queue = slot->worker->queue;
	if (region->page_size > size) {
		slot->read.offset += slot->filled;
		slot->read.length = (size_t)lm_min(size, region->page_size - slot->filled);
		slot->read.buffer = slot->buffer;
	} else {
		slot->read.offset += skip;
		slot->read.length = (slot->count << region->page_shift) - skip;
		slot->read.buffer = slot->buffer + skip;
	}
	slot->is_read = true; /* when it comes back, unless with an error */
	if (slot->read.offset >= lazymem_backing_length(region->backing)) {
		/* The object ends in this page, before this piece of it. */
		memset(slot->read.buffer, 0, slot->read.length);
		lm_slot_read_completed(&slot->read, 0);
		return;
	}
	lm_count(&slot->attachment->statistics, LM_READS, 1);
	lazymem_backing_submit(region->backing, &slot->read);
}

/* Messages have to be read before populating can go on; if none are there, the
 * layout of the address space is changing. */
static void postpone(struct lm_slot *slot)
{
	lm_worker_mark_readable(slot->worker, slot->attachment);
	slot->due = lm_clock_ns();
	if (++slot->postponed > POSTPONE_FREE_TRIES)
		slot->due += POSTPONE_NS;
	lm_count(&slot->attachment->statistics, LM_RETRIES, 1);
	lm_slot_list_append(&slot->worker->delayed, slot);
}

void lm_slot_resume(struct lm_slot *slot)
{
	if (slot->error == 0)
		lm_count(&slot->attachment->statistics, LM_BYTES_READ, slot->read.length);
	else
		slot->is_read = false;
	lm_slot_advance(slot);
}

void lm_slot_advance(struct lm_slot *slot)
{
	if (slot->error != 0) {
		lm_slot_fail(slot);
		return;
	}
	if (slot->content == LM_CONTENT_BYTES && !slot->is_read) {
		start_read(slot);
		return;
	}
	switch (lm_populate(slot)) {
	case LM_POPULATED:
		lm_slot_end(slot);
		return;
	case LM_READ_ON:
		slot->attempts = 0;
		if (slot->attachment->aborting)
			lm_slot_cut_short(slot);
		else
			start_read(slot);
		return;
	case LM_LATER:
		postpone(slot);
		return;
	case LM_REFUSED:
		lm_slot_fail(slot);
		return;
	}
}
