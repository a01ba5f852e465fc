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
#include "uffd/worker.h"

#include "core/checked.h"
#include "core/clock.h"
#include "uffd/populate.h"

#include <assert.h>

/* How long to wait for a layout that keeps changing, after the first few tries. */
#define POSTPONE_NS UINT64_C(50000)
#define POSTPONE_FREE_TRIES 4

static _Thread_local struct lm_worker *own_worker;

void lm_slot_own_thread(struct lm_worker *worker)
{
	own_worker = worker;
}

bool lm_slot_on_worker(void)
{
	return own_worker != NULL;
}

static struct lm_slot_list *free_slots(struct lm_worker *worker, enum lm_budget budget)
{
	return budget == LM_BUDGET_DEMAND ? &worker->free_demand : &worker->free_prefetch;
}

struct lm_slot *lm_slot_start(struct lm_worker *worker, struct lazymem_attachment *attachment,
			      struct lm_lazy_region *region, enum lm_budget budget)
{
	struct lm_slot *slot = lm_slot_list_take(free_slots(worker, budget));

	if (slot == NULL)
		return NULL;
	slot->attachment = attachment;
	slot->region = region;
	slot->job = NULL;
	slot->demand = budget == LM_BUDGET_DEMAND;
	slot->installed = slot->demanded = slot->filled = 0;
	slot->content = LM_CONTENT_BYTES;
	slot->is_read = slot->healing = false;
	slot->error = 0;
	slot->attempts = slot->postponed = slot->joined = 0;
	slot->in_use = true;
	attachment->slots_in_use++;
	return slot;
}

void lm_slot_cancel(struct lm_slot *slot)
{
	struct lm_worker *worker = slot->worker;

	slot->attachment->slots_in_use--;
	slot->in_use = false;
	/* Last in, first out: the buffer used last is the one that is in the cache. */
	lm_slot_list_prepend(free_slots(worker, slot->budget), slot);
}

static void count_latency(struct lm_slot *slot, size_t pages, unsigned joined)
{
	struct lm_statistics *statistics = &slot->attachment->statistics;
	uint64_t now;

	if (pages == 0 && joined == 0)
		return;
	now = lm_clock_ns();
	for (size_t i = 0; i < pages; i++)
		lm_statistics_latency(statistics, now - slot->since);
	for (unsigned i = 0; i < joined; i++)
		lm_statistics_latency(statistics,
				      now - slot->joined_since[lm_min(i, LM_SLOT_JOINED - 1)]);
}

/* Latencies before outcomes: once the outcomes add up to the faults, the
 * histogram is complete as well. */
static void count_end(struct lm_slot *slot)
{
	struct lm_statistics *statistics = &slot->attachment->statistics;

	count_latency(slot, slot->demanded, slot->joined);
	slot->ended[LM_COALESCED] += slot->joined;
	for (int i = 0; i < LM_OUTCOMES; i++) {
		if (slot->ended[i] > 0)
			lm_count(statistics, (enum lm_counter)i, slot->ended[i]);
		slot->ended[i] = 0;
	}
}

void lm_slot_join(struct lm_slot *slot, unsigned count, uint64_t since)
{
	for (; count > 0; count--, slot->joined++)
		if (slot->joined < LM_SLOT_JOINED)
			slot->joined_since[slot->joined] = since;
}

void lm_slot_end(struct lm_slot *slot)
{
	count_end(slot);
	if (slot->job != NULL)
		slot->job->pieces--;
	if (slot->region->complete_blocks > 0)
		lm_worker_mark_busy(slot->worker, slot->attachment);
	lm_slot_cancel(slot);
}

size_t lm_slot_capacity(const struct lm_worker *worker, const struct lm_lazy_region *region)
{
	return worker->buffer_size <= region->page_size ? 1
							: worker->buffer_size >> region->page_shift;
}

static void read_completed(struct lazymem_read *read, int error)
{
	struct lm_slot *slot = read->context;
	struct lm_worker *worker = slot->worker;

	slot->error = error;
	if (own_worker == worker) {
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
	slot->read.complete = read_completed;
	slot->read.context = slot;
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
	lm_count(&slot->attachment->statistics, LM_READS, 1);
	slot->is_read = true; /* when it comes back, unless with an error */
	lazymem_backing_submit(region->backing, &slot->read);
}

void lm_slot_give_back(struct lm_slot *slot, size_t keep)
{
	struct lm_lazy_region *region = slot->region;
	size_t from = slot->installed + keep, count = slot->count - from;

	if (keep == 0)
		lm_populate_drop_pieces(slot);
	for (size_t page = slot->first + from; page < slot->first + slot->count; page++) {
		if (!slot->healing)
			lm_page_map_release(&region->map, page);
		else if (lm_page_map_poison(&region->map, page))
			atomic_fetch_add(&slot->attachment->poisoned, 1);
	}
	if (count > 0)
		lm_populate_wake(slot->attachment, region, slot->first + from, count);
	slot->count = from;
	if (slot->demanded > from) {
		count_latency(slot, slot->demanded - from, 0);
		slot->ended[LM_COALESCED] += slot->demanded - from;
		slot->demanded = from;
	}
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
