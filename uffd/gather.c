/* SPDX-License-Identifier: MIT
 *
 * A gather: several runs of pages that one read brings.
 *
 * A working set lies scattered in guest memory, in runs of two or three pages;
 * read run by run, each costs a request of its own. Where the backing object
 * takes reads in parts, and keeps the runs side by side, they come in one.
 *
 * Each run is a slot like any other, with a part of the gather's buffer in
 * place of one of its own: claimed, joined by faults, installed by its state,
 * and free again on its own. Only the read is shared. If it fails, each slot
 * reads its own run, and what is wrong with one is found out as ever.
 *
 * The pages of a gather are installed in one go and whoever waits for any of
 * them is woken once, at the end: a guest's thread that follows the replay
 * would else wake after the first run, and fault again on the next. So a slot
 * that faults have joined is over, and counts them, only then.
 */
#include "uffd/gather.h"

#include "core/checked.h"
#include "uffd/advance.h"
#include "uffd/failure.h"
#include "uffd/populate.h"

#include <assert.h>

struct lm_gather *lm_gather_start(struct lm_worker *worker, size_t size)
{
	struct lm_gather *gather = worker->free_gathers;

	if (gather == NULL)
		return NULL;
	worker->free_gathers = gather->next;
	gather->count = 0;
	gather->left = 1;
	gather->read.length = 0;
	gather->size = (size_t)lm_min(size, worker->buffer_size);
	return gather;
}

size_t lm_gather_room(const struct lm_gather *gather, const struct lm_lazy_region *region)
{
	if (gather->count == LM_GATHER_PARTS ||
	    (gather->count > 0 && gather->runs[0].region->backing != region->backing))
		return 0;
	return (gather->size - gather->read.length) >> region->page_shift;
}

void lm_gather_add(struct lm_gather *gather, struct lm_slot *slot)
{
	const size_t length = slot->count << slot->region->page_shift;

	slot->gather = gather;
	slot->buffer = gather->buffer + gather->read.length;
	gather->slots[gather->count] = slot;
	gather->runs[gather->count] =
		(struct lm_gather_run){slot->region, slot->first, slot->count};
	gather->parts[gather->count] = (struct lazymem_read_part){
		lm_lazy_region_offset(slot->region, slot->first), length};
	gather->count++;
	gather->left++;
	gather->read.length += length;
}

void lm_gather_submit(struct lm_worker *worker, struct lm_gather *gather)
{
	struct lm_slot *first;

	if (gather->count == 0) {
		lm_gather_leave(worker, gather);
		return;
	}
	first = gather->slots[0];
	gather->in_flight = true;
	gather->read.buffer = gather->buffer;
	gather->read.parts = gather->parts;
	gather->read.part_count = gather->count;
	gather->read.complete = lm_slot_read_completed;
	gather->read.context = first;
	gather->read.flags = LAZYMEM_READ_BACKGROUND;
	gather->read.queue = worker->queue;
	lm_count(&first->attachment->statistics, LM_READS, 1);
	lazymem_backing_submit(first->region->backing, &gather->read);
}

/* Wake whoever waits, from the lowest page to the highest of each row of runs
 * in one region: one call in place of a hundred. */
static void wake_span(const struct lm_gather *gather, struct lazymem_attachment *attachment)
{
	struct lm_lazy_region *region = gather->runs[0].region;
	size_t first = SIZE_MAX, end = 0;

	for (size_t i = 0; i < gather->count; i++) {
		const struct lm_gather_run *run = &gather->runs[i];

		if (run->region != region) {
			lm_populate_wake(attachment, region, first, end - first);
			region = run->region;
			first = SIZE_MAX;
			end = 0;
		}
		first = run->first < first ? run->first : first;
		end = run->first + run->count > end ? run->first + run->count : end;
	}
	lm_populate_wake(attachment, region, first, end - first);
}

/* Who waits for a page in between that is under way elsewhere would fault
 * again, with each gather once more: then each run is woken by itself. The
 * slots are over and may be others' by now. */
static void wake(const struct lm_gather *gather, struct lazymem_attachment *attachment)
{
	if (attachment->faults_waiting == 0 && !lm_slot_others_awaited(attachment, gather)) {
		wake_span(gather, attachment);
		return;
	}
	for (size_t i = 0; i < gather->count; i++)
		lm_populate_wake(attachment, gather->runs[i].region, gather->runs[i].first,
				 gather->runs[i].count);
}

/* Each slot reads its own run: one of them is at fault, not the others. An
 * abort waits for no more reads. */
static void read_apart(struct lm_gather *gather, struct lazymem_attachment *attachment)
{
	gather->slots[0]->error = 0;
	if (attachment->aborting) {
		for (size_t i = 0; i < gather->count; i++)
			lm_slot_cut_short(gather->slots[i]);
		return;
	}
	lm_count(&attachment->statistics, LM_RETRIES, 1);
	for (size_t i = 0; i < gather->count; i++)
		lm_slot_advance(gather->slots[i]);
}

static void end_joined(struct lm_gather *gather)
{
	struct lm_slot *slot;

	while ((slot = gather->ended) != NULL) {
		gather->ended = slot->next;
		lm_slot_end(slot);
	}
}

static void install(struct lm_gather *gather, struct lazymem_attachment *attachment)
{
	lm_count(&attachment->statistics, LM_BYTES_READ, gather->read.length);
	gather->is_quiet = true;
	for (size_t i = 0; i < gather->count; i++) {
		gather->slots[i]->is_read = true;
		lm_slot_advance(gather->slots[i]);
	}
	gather->is_quiet = false;
	wake(gather, attachment);
	end_joined(gather);
}

void lm_gather_resume(struct lm_gather *gather)
{
	struct lm_slot *first = gather->slots[0];
	struct lazymem_attachment *attachment = first->attachment;
	struct lm_worker *worker = first->worker;

	assert(gather->in_flight && gather->left > gather->count);
	gather->in_flight = false;
	if (first->error != 0)
		read_apart(gather, attachment);
	else
		install(gather, attachment);
	lm_gather_leave(worker, gather);
}
