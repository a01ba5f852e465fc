/* SPDX-License-Identifier: MIT
 *
 * Slots: the lists that they wait in, how one is started, joined, given back
 * and ended, and how the faults that it served are counted.
 */
#include "uffd/slot.h"

#include "core/checked.h"
#include "core/clock.h"
#include "uffd/attention.h"
#include "uffd/populate.h"

void lm_slot_list_append(struct lm_slot_list *list, struct lm_slot *slot)
{
	slot->next = NULL;
	if (list->last != NULL)
		list->last->next = slot;
	else
		list->first = slot;
	list->last = slot;
	list->count++;
}

void lm_slot_list_prepend(struct lm_slot_list *list, struct lm_slot *slot)
{
	slot->next = list->first;
	list->first = slot;
	if (list->last == NULL)
		list->last = slot;
	list->count++;
}

struct lm_slot *lm_slot_list_take(struct lm_slot_list *list)
{
	struct lm_slot *slot = list->first;

	if (slot == NULL)
		return NULL;
	list->first = slot->next;
	if (list->first == NULL)
		list->last = NULL;
	slot->next = NULL;
	list->count--;
	return slot;
}

/* ---- whose thread this is */

static _Thread_local struct lm_worker *own_worker;

void lm_slot_own_thread(struct lm_worker *worker)
{
	own_worker = worker;
}

bool lm_slot_on_worker(void)
{
	return own_worker != NULL;
}

bool lm_slot_is_own(const struct lm_slot *slot)
{
	return slot->worker == own_worker;
}

/* ---- its life */

static struct lm_slot_list *free_slots(struct lm_worker *worker, enum lm_budget budget)
{
	switch (budget) {
	case LM_BUDGET_DEMAND:
		return &worker->free_demand;
	case LM_BUDGET_PREFETCH:
		return &worker->free_prefetch;
	case LM_BUDGET_PART:
		break;
	}
	return &worker->free_parts;
}

/* Most guests never need them, so they are not touched until they are used. */
static struct lm_slot *begin_part(struct lm_worker *worker)
{
	struct lm_slot *slot;

	if (worker->parts_begun >= worker->slot_count)
		return NULL;
	slot = &worker->slots[worker->parts_begun++];
	slot->worker = worker;
	slot->budget = LM_BUDGET_PART;
	return slot;
}

static void mark_used(struct lm_slot *slot, bool used)
{
	const size_t index = (size_t)(slot - slot->worker->slots);
	const uint64_t bit = UINT64_C(1) << (index % 64);

	slot->in_use = used;
	if (used)
		slot->worker->used[index / 64] |= bit;
	else
		slot->worker->used[index / 64] &= ~bit;
}

struct lm_slot *lm_slot_start(struct lm_worker *worker, struct lazymem_attachment *attachment,
			      struct lm_lazy_region *region, enum lm_budget budget)
{
	struct lm_slot *slot = lm_slot_list_take(free_slots(worker, budget));

	if (slot == NULL && budget == LM_BUDGET_PART)
		slot = begin_part(worker);
	if (slot == NULL)
		return NULL;
	slot->attachment = attachment;
	slot->region = region;
	slot->job = NULL;
	slot->gather = NULL;
	slot->in_flight = 0;
	slot->demand = budget == LM_BUDGET_DEMAND;
	slot->installed = slot->demanded = slot->filled = 0;
	slot->content = LM_CONTENT_BYTES;
	slot->is_read = slot->healing = slot->own = slot->write = false;
	slot->error = 0;
	slot->attempts = slot->postponed = slot->joined = 0;
	mark_used(slot, true);
	attachment->slots_in_use++;
	return slot;
}

void lm_gather_leave(struct lm_worker *worker, struct lm_gather *gather)
{
	if (--gather->left > 0)
		return;
	gather->next = worker->free_gathers;
	worker->free_gathers = gather;
}

void lm_slot_cancel(struct lm_slot *slot)
{
	struct lm_worker *worker = slot->worker;

	worker->prefetch_bytes -= slot->in_flight;
	if (slot->gather != NULL)
		lm_gather_leave(worker, slot->gather);
	slot->attachment->slots_in_use--;
	mark_used(slot, false);
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

/* Its read may be over, or be none: the dispatch knows. */
static void hurry(struct lm_slot *slot)
{
	struct lm_gather *gather = slot->gather;

	if (slot->content == LM_CONTENT_BYTES)
		lazymem_backing_hurry(slot->region->backing, gather != NULL && gather->in_flight
								     ? &gather->read
								     : &slot->read);
}

void lm_slot_join(struct lm_slot *slot, unsigned count, uint64_t since)
{
	if (count > 0 && !lm_slot_is_awaited(slot))
		hurry(slot);
	for (; count > 0; count--, slot->joined++)
		if (slot->joined < LM_SLOT_JOINED)
			slot->joined_since[slot->joined] = since;
}

void lm_slot_end(struct lm_slot *slot)
{
	if (slot->joined > 0 && lm_slot_is_quiet(slot)) { /* not woken yet */
		slot->next = slot->gather->ended;
		slot->gather->ended = slot;
		return;
	}
	count_end(slot);
	if (slot->job != NULL)
		slot->job->pieces--;
	if (slot->region->complete_blocks > 0)
		lm_worker_mark_busy(slot->worker, slot->attachment);
	lm_slot_cancel(slot);
}

/* The first slot in use from `index` on; slot_count if none. */
static size_t next_used(const struct lm_worker *worker, size_t index)
{
	uint64_t left;

	if (index >= worker->slot_count)
		return worker->slot_count;
	left = worker->used[index / 64] >> (index % 64) << (index % 64);
	for (size_t word = index / 64; word * 64 < worker->slot_count; left = worker->used[++word])
		if (left != 0)
			return word * 64 + (size_t)__builtin_ctzll(left);
	return worker->slot_count;
}

static bool holds(const struct lm_slot *slot, const struct lm_lazy_region *region, size_t page)
{
	return slot->region == region && page >= slot->first + slot->installed &&
	       page < slot->first + slot->count;
}

struct lm_slot *lm_slot_find(struct lm_worker *worker, const struct lm_lazy_region *region,
			     size_t page)
{
	for (size_t i = next_used(worker, 0); i < worker->slot_count; i = next_used(worker, i + 1))
		if (holds(&worker->slots[i], region, page))
			return &worker->slots[i];
	return NULL;
}

bool lm_slot_others_awaited(const struct lazymem_attachment *attachment,
			    const struct lm_gather *gather)
{
	const struct lm_worker *worker = attachment->worker;

	for (size_t i = next_used(worker, 0); i < worker->slot_count;
	     i = next_used(worker, i + 1)) {
		const struct lm_slot *slot = &worker->slots[i];

		if (slot->attachment == attachment && slot->gather != gather &&
		    lm_slot_is_awaited(slot))
			return true;
	}
	return false;
}

size_t lm_slot_capacity(const struct lm_worker *worker, const struct lm_lazy_region *region)
{
	return worker->buffer_size <= region->page_size ? 1
							: worker->buffer_size >> region->page_shift;
}

void lm_slot_give_back(struct lm_slot *slot, size_t keep)
{
	struct lm_lazy_region *region = slot->region;
	size_t from = slot->installed + keep, count = slot->count - from;
	/* The hole that is punched in hugetlb memory takes the poison with it. */
	const bool is_poison =
		slot->healing && (slot->filled == 0 || atomic_load(&region->protects));

	if (keep == 0)
		lm_populate_drop_pieces(slot);
	for (size_t page = slot->first + from; page < slot->first + slot->count; page++) {
		if (!is_poison)
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
