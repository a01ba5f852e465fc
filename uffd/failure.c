/* SPDX-License-Identifier: MIT
 *
 * A read or a populate has failed.
 *
 * No page is ever installed from a read that failed. What is left to decide is
 * whether to try again, and what whoever waits is told in the end:
 *  - a run of several pages is cut down first, so that one bad page does not
 *    take its neighbours with it: on demand the first page stays here, is tried
 *    again at once, and the others fault again; a prefetch goes over the piece
 *    page by page;
 *  - then the owner (or the default) says retry, after a pause that doubles,
 *    or poison. A page that only a prefetch wanted is given back instead: if
 *    a fault comes for it, that fault asks again;
 *  - a page that is no longer mapped has nobody who waits: given back;
 *  - poisoning itself is tried again until it succeeds, since what comes after
 *    an abort may rely on it.
 */
#include "uffd/failure.h"

#include "core/checked.h"
#include "core/clock.h"
#include "uffd/advance.h"
#include "uffd/populate.h"

#include <errno.h>

#define DEFAULT_RETRIES 5
#define FIRST_PAUSE_NS UINT64_C(1000000)
#define LONGEST_PAUSE_NS LM_NS_PER_S

static enum lazymem_verdict ask_owner(const struct lm_slot *slot)
{
	const struct lazymem_attachment *attachment = slot->attachment;
	const struct lm_lazy_region *region = slot->region;
	size_t page = slot->first + slot->installed;
	struct lazymem_failure failure = {
		.address = {lm_lazy_region_guest(region, page)},
		.length = region->page_size,
		.backing_offset = lm_lazy_region_offset(region, page),
		.backing = lazymem_backing_name(region->backing),
		.error = slot->error,
		.attempts = slot->attempts,
		.demand = slot->demand,
	};

	if (attachment->on_failure != NULL)
		return attachment->on_failure(attachment->context, &failure);
	return slot->attempts <= DEFAULT_RETRIES ? LAZYMEM_RETRY : LAZYMEM_POISON;
}

static void retry_later(struct lm_slot *slot)
{
	unsigned doublings = slot->attempts - 1;
	uint64_t pause = doublings < 10 ? FIRST_PAUSE_NS << doublings : LONGEST_PAUSE_NS;

	slot->error = 0;
	slot->due = lm_clock_ns() + pause;
	lm_count(&slot->attachment->statistics, LM_RETRIES, 1);
	lm_slot_list_append(&slot->worker->delayed, slot);
}

static void poison(struct lm_slot *slot)
{
	lm_populate_drop_pieces(slot);
	slot->error = 0;
	slot->content = LM_CONTENT_POISON;
	lm_slot_advance(slot);
}

static void give_back(struct lm_slot *slot)
{
	lm_slot_give_back(slot, 0);
	lm_slot_end(slot);
}

void lm_slot_cut_short(struct lm_slot *slot)
{
	if (slot->demand)
		poison(slot);
	else
		give_back(slot);
}

static void give_up(struct lm_slot *slot)
{
	if (slot->job != NULL)
		lm_job_gave_up(slot->job);
	give_back(slot);
}

/* The kernel found no memory of ours to populate. For one page that means that
 * nobody can wait in it; for several it may only mean that they do not lie in
 * one piece of the address space (an madvise or mprotect on a part of a region
 * splits it), which ends when they are taken one by one. */
static bool is_out_of_place(const struct lm_slot *slot)
{
	bool populating = slot->is_read || slot->content != LM_CONTENT_BYTES;

	return populating && slot->error == -ENOENT;
}

/* The process whose memory it was has ended. */
static bool is_dead(const struct lm_slot *slot)
{
	bool populating = slot->is_read || slot->content != LM_CONTENT_BYTES;

	return populating && slot->error == -ESRCH;
}

/* Cut a run of several pages down. The slot goes on with one page at once, of
 * which nothing is known yet; it is over if it was a job's. False when an abort
 * waits for no other read. */
static bool narrow(struct lm_slot *slot)
{
	if (!slot->demand) {
		lm_job_narrow(slot->job, slot->job_range, slot->first + slot->installed,
			      slot->count - slot->installed);
		give_back(slot);
		return true;
	}
	lm_slot_give_back(slot, 1);
	if (!is_out_of_place(slot)) {
		if (slot->attachment->aborting)
			return false;
		lm_count(&slot->attachment->statistics, LM_RETRIES, 1);
	}
	slot->error = 0;
	lm_slot_advance(slot);
	return true;
}

/* Somebody waits for a page that only a job wanted: given back, it is asked
 * for again as what it is now. */
static bool is_wanted_after_all(const struct lm_slot *slot)
{
	return !slot->demand && slot->joined > 0;
}

void lm_slot_fail(struct lm_slot *slot)
{
	if (is_dead(slot)) {
		give_back(slot);
		return;
	}
	if (slot->count - slot->installed > 1 && narrow(slot))
		return;
	if (is_out_of_place(slot) || is_wanted_after_all(slot)) {
		give_back(slot);
		return;
	}
	slot->attempts++;
	if (slot->content == LM_CONTENT_POISON)
		retry_later(slot);
	else if (!slot->attachment->aborting && ask_owner(slot) == LAZYMEM_RETRY)
		retry_later(slot);
	else if (slot->demand)
		poison(slot);
	else
		give_up(slot);
}
