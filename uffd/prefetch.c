/* SPDX-License-Identifier: MIT
 *
 * One bounded piece of a job at a time.
 *
 * The worker comes here only when no demand is waiting. A step moves the job's
 * cursor over pages that need nothing (there, under way, discarded), at most
 * SCAN_PAGES of them, and starts at most one piece: a run of missing pages that
 * are alike, no longer than a piece may be. So a fault never waits for more
 * than one step and the populate of one piece.
 *
 * Where the backing object takes reads in parts, a piece is a gather of several
 * runs, wherever in guest memory they lie: see gather.c.
 *
 * A poisoned page is claimed again, alone, by a prefetch: if its read succeeds
 * it is healed, if not it stays poisoned.
 */
#include "uffd/prefetch.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/mapping_operations.h"
#include "uffd/advance.h"
#include "uffd/gather.h"
#include "uffd/stream.h"

/* Pages looked at in one step: at a byte each, far below the time of a piece. */
#define SCAN_PAGES ((size_t)1 << 16)

/* Bytes of the first gather of a job. */
#define FIRST_GATHER ((size_t)16 << 10)

/* Pages without I/O (zeros, poison) in one piece, and in one step: installing one
 * is taken for looking at ZERO_COST. */
#define PIECE_WITHOUT_IO ((size_t)512)
#define ZERO_COST (SCAN_PAGES / PIECE_WITHOUT_IO)

/* ---- the cursor */

static void skip(struct lm_job *job, size_t pages)
{
	job->page += pages;
	if (job->page >= job->ranges[job->range].count) {
		job->range++;
		job->page = 0;
	}
}

/* ---- a piece */

static size_t piece_pages(const struct lm_worker *worker, const struct lm_job *job,
			  const struct lm_lazy_region *region)
{
	size_t pages = worker->options.prefetch_piece >> region->page_shift;

	return lm_job_is_narrow(job) || pages == 0 ? 1 : pages;
}

/* A hole is left to the kernel by a job that lets go afterwards, and where it
 * would put small pages in place of a huge one. */
static bool leaves_hole(const struct lm_job *job, const struct lm_lazy_region *region, size_t pages)
{
	return job->kind != LM_JOB_PREFETCH || (lm_mapping_wants_hugepages(region->mapping) &&
						pages >= LM_BLOCK >> region->page_shift);
}

/* A piece that went off late is made up for by the next one, so that the rate is
 * kept on the whole; what was idle for longer is not. */
static void charge(struct lm_job *job, size_t bytes, uint64_t now)
{
	double cost;

	if (job->bytes_per_second == 0 || bytes == 0)
		return;
	cost = (double)bytes * (double)LM_NS_PER_S / (double)job->bytes_per_second;
	if (cost > (double)(3600 * LM_NS_PER_S))
		cost = (double)(3600 * LM_NS_PER_S);
	if (now > job->due && now - job->due > (uint64_t)cost)
		job->due = now;
	job->due += (uint64_t)cost;
}

/* What a prefetch may have under way in slots of its own budget. */
static size_t most_in_flight(const struct lm_worker *worker)
{
	return LM_GATHERS * worker->buffer_size;
}

/* A page larger than the buffer is read one buffer at a time. */
static void count_in_flight(struct lm_slot *slot, size_t bytes)
{
	bytes = (size_t)lm_min(bytes, slot->worker->buffer_size);
	slot->in_flight = bytes;
	slot->worker->prefetch_bytes += bytes;
}

/* Claim a run from `page` on and send it off in `slot`. False when there was
 * nothing to claim after all. */
static bool start_piece(struct lm_slot *slot, struct lm_job *job, size_t page, size_t pages,
			enum lm_content content)
{
	struct lm_lazy_region *region = slot->region;

	slot->first = page;
	slot->count = lm_page_map_claim(&region->map, page, pages);
	if (slot->count == 0 && content == LM_CONTENT_BYTES) {
		slot->count = lm_page_map_claim_poisoned(&region->map, page, 1);
		slot->healing = slot->count > 0;
		if (slot->healing)
			atomic_fetch_sub(&slot->attachment->poisoned, 1);
	}
	if (slot->count == 0)
		return false;
	slot->content = content;
	slot->job = job;
	slot->job_range = job->range;
	job->pieces++;
	skip(job, slot->count);
	if (content == LM_CONTENT_BYTES) {
		charge(job, slot->count << region->page_shift, lm_clock_ns());
		count_in_flight(slot, slot->count << region->page_shift);
	}
	lm_slot_advance(slot);
	return true;
}

/* Does this state ask something of this job? */
static bool is_wanted(const struct lm_job *job, enum lm_page_state state)
{
	return state == LM_PAGE_MISSING ||
	       (state == LM_PAGE_POISONED && job->kind != LM_JOB_POISON);
}

/* Pages at the cursor, at most `limit`, that the job has nothing to do with. */
static size_t unwanted(const struct lm_job *job, const struct lm_lazy_region *region, size_t page,
		       size_t limit)
{
	size_t count = 0;

	while (count < limit && !is_wanted(job, lm_page_map_get(&region->map, page + count)))
		count++;
	return count;
}

/* Look at the pages at the cursor: pass over what needs nothing, or start a
 * piece. Returns the pages passed over; 0 when a piece was started. */
static size_t step(struct lm_slot *slot, struct lm_job *job)
{
	const struct lm_job_range *range = &job->ranges[job->range];
	struct lm_lazy_region *region = range->region;
	size_t page = range->first + job->page, left = range->count - job->page;
	size_t pass = unwanted(job, region, page, (size_t)lm_min(left, SCAN_PAGES)), alike;
	size_t pages = piece_pages(slot->worker, job, region);
	bool zero;

	if (pass > 0)
		return pass;
	slot->region = region;
	/* Read even in a hole: zeros do not heal, bytes that are zero do. */
	if (lm_page_map_get(&region->map, page) == LM_PAGE_POISONED)
		return start_piece(slot, job, page, 1, LM_CONTENT_BYTES) ? 0 : 1;
	alike = lm_lazy_region_extent(region, page, left, &zero);
	if (zero && leaves_hole(job, region, alike))
		return alike;
	if (zero || job->kind == LM_JOB_POISON) {
		alike = (size_t)lm_min(alike, lm_job_is_narrow(job) ? 1 : PIECE_WITHOUT_IO);
		if (start_piece(slot, job, page, alike, zero ? LM_CONTENT_ZERO : LM_CONTENT_POISON))
			return 0;
	} else if (start_piece(slot, job, page, (size_t)lm_min(alike, pages), LM_CONTENT_BYTES)) {
		return 0;
	}
	return 1; /* a discard was faster */
}

static bool is_over(const struct lazymem_attachment *attachment, const struct lm_job *job)
{
	bool cut_short = attachment->aborting && job->kind != LM_JOB_POISON;

	return cut_short || job->range >= job->range_count;
}

/* A job that has no piece under way may borrow one slot of the demand budget
 * while half of it is free, so that a source that hangs keeps only its own
 * attachment from going on. */
static struct lm_slot *start_slot(struct lm_worker *worker, struct lazymem_attachment *attachment,
				  const struct lm_job *job)
{
	struct lm_lazy_region *region = job->ranges[job->range].region;
	struct lm_slot *slot = NULL;

	if (worker->prefetch_bytes + worker->buffer_size <= most_in_flight(worker))
		slot = lm_slot_start(worker, attachment, region, LM_BUDGET_PREFETCH);
	if (slot == NULL && job->pieces == 0 &&
	    worker->free_demand.count > worker->options.demand_depth / 2)
		slot = lm_slot_start(worker, attachment, region, LM_BUDGET_DEMAND);
	if (slot != NULL)
		slot->demand = false;
	return slot;
}

/* ---- a gather */

/* Pages at the cursor that one part can be, at most: not the last one of an
 * object that ends inside it, which is read with its neighbours or alone. */
static size_t inside(const struct lm_lazy_region *region, size_t page, size_t pages)
{
	const uint64_t length = lazymem_backing_length(region->backing);
	const uint64_t offset = lm_lazy_region_offset(region, page);

	if (offset >= length)
		return 0;
	return (size_t)lm_min(pages, (length - offset) >> region->page_shift);
}

/* Send zeros off. Returns how many pages could have been looked at meanwhile. */
static size_t add_zeros(struct lm_slot *slot, struct lm_job *job, size_t page, size_t pages)
{
	pages = lm_page_map_run(&slot->region->map, page, (size_t)lm_min(pages, PIECE_WITHOUT_IO),
				LM_PAGE_MISSING);
	if (start_piece(slot, job, page, pages, LM_CONTENT_ZERO))
		return pages * ZERO_COST;
	lm_slot_cancel(slot);
	skip(job, 1); /* a discard was faster */
	return 1;
}

/* Add a run to the gather. Returns the pages that were looked at. */
static size_t add_bytes(struct lm_gather *gather, struct lm_slot *slot, struct lm_job *job,
			size_t page, size_t pages)
{
	slot->first = page;
	slot->count = lm_page_map_claim(&slot->region->map, page, pages);
	if (slot->count == 0) {
		lm_slot_cancel(slot);
		skip(job, 1);
		return 1;
	}
	slot->job = job;
	slot->job_range = job->range;
	job->pieces++;
	lm_gather_add(gather, slot);
	skip(job, slot->count);
	return slot->count;
}

/* Look at the pages at the cursor: pass over what needs nothing, or add it.
 * Returns how many pages that was, or as good as; 0 when the gather has to be
 * sent off first, or this is nothing for a gather. */
static size_t gather_some(struct lm_worker *worker, struct lazymem_attachment *attachment,
			  struct lm_gather *gather, struct lm_job *job)
{
	const struct lm_job_range *range = &job->ranges[job->range];
	struct lm_lazy_region *region = range->region;
	size_t page = range->first + job->page, left = range->count - job->page;
	size_t pass = unwanted(job, region, page, (size_t)lm_min(left, SCAN_PAGES));
	size_t room = lm_gather_room(gather, region), alike;
	struct lm_slot *slot;
	bool zero;

	if (pass > 0) {
		skip(job, pass);
		return pass;
	}
	if (room == 0 || !region->takes_parts || lm_job_is_narrow(job) ||
	    lm_page_map_get(&region->map, page) == LM_PAGE_POISONED)
		return 0;
	alike = lm_lazy_region_extent(region, page, left, &zero);
	if (zero && leaves_hole(job, region, alike)) {
		skip(job, alike);
		return alike;
	}
	if (!zero)
		alike = inside(region, page, (size_t)lm_min(alike, room));
	if (alike == 0)
		return 0;
	slot = lm_slot_start(worker, attachment, region, LM_BUDGET_PART);
	if (slot == NULL)
		return 0;
	slot->demand = false;
	return zero ? add_zeros(slot, job, page, alike) : add_bytes(gather, slot, job, page, alike);
}

/* The first gathers are small and grow: a guest that starts together with the
 * replay waits for the first pages of it, and for nothing that comes after. */
static size_t gather_size(const struct lm_job *job)
{
	const size_t page = job->ranges[job->range].region->page_size;
	const size_t least = page > FIRST_GATHER ? page : FIRST_GATHER;

	return job->gathered > least ? job->gathered : least;
}

/* One gather. False when this is nothing for a gather, and nothing was done. */
static bool gather_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
			struct lm_job *job)
{
	struct lm_gather *gather = lm_gather_start(worker, gather_size(job));
	size_t end = (size_t)lm_min(job->range_count, job->ahead_from);
	size_t scanned = 0, added = 1;

	if (gather == NULL)
		return false;
	while (added > 0 && scanned < SCAN_PAGES && job->range < end) {
		added = gather_some(worker, attachment, gather, job);
		scanned += added;
	}
	charge(job, gather->read.length, lm_clock_ns());
	job->gathered += gather->read.length;
	lm_gather_submit(worker, gather);
	return scanned > 0;
}

/* ---- reading ahead */

/* One run is read ahead: pages that are wanted and no hole, no further than a
 * piece may be. */
static void ahead_step(const struct lm_worker *worker, struct lm_job *job)
{
	const struct lm_job_range *range = &job->ranges[job->range];
	struct lm_lazy_region *region = range->region;
	size_t page = range->first + job->page, left = range->count - job->page;
	size_t pass = unwanted(job, region, page, (size_t)lm_min(left, SCAN_PAGES)), run;
	bool zero;

	if (pass > 0) {
		skip(job, pass);
		return;
	}
	run = lm_lazy_region_extent(region, page, left, &zero);
	if (zero) {
		skip(job, run);
		return;
	}
	run = (size_t)lm_min(run, piece_pages(worker, job, region));
	run = lm_page_map_run(&region->map, page, run, lm_page_map_get(&region->map, page));
	lazymem_backing_readahead(region->backing, lm_lazy_region_offset(region, page),
				  (uint64_t)run << region->page_shift);
	charge(job, run << region->page_shift, lm_clock_ns());
	skip(job, run);
}

/* ---- a step */

/* Sources that take parts get gathers, as many as there are: more of them
 * would only queue up. But a source that hangs must not keep them all. */
static bool waits_for_gather(const struct lm_worker *worker, const struct lm_job *job)
{
	const struct lm_lazy_region *region = job->ranges[job->range].region;

	return region->takes_parts && worker->free_gathers == NULL && job->pieces > 0;
}

bool lm_prefetch_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due)
{
	struct lm_job *job = lm_stream_is_on(attachment) ? attachment->stream
							 : lm_jobs_current(&attachment->jobs);
	struct lm_slot *slot;
	size_t scanned = 0, passed = 1;

	if (job == NULL)
		return false;
	if (is_over(attachment, job)) {
		if (job->pieces > 0)
			return false;
		lm_jobs_end_current(&attachment->jobs);
		return true;
	}
	if (job->due > lm_clock_ns()) {
		*ret_due = lm_min(*ret_due, job->due);
		return false;
	}
	if (job->range >= job->ahead_from) {
		ahead_step(worker, job);
		return true;
	}
	if (waits_for_gather(worker, job))
		return false;
	if (job->kind != LM_JOB_POISON && gather_step(worker, attachment, job))
		return true;
	slot = start_slot(worker, attachment, job);
	if (slot == NULL)
		return false;
	while (passed > 0 && scanned < SCAN_PAGES &&
	       job->range < lm_min(job->range_count, job->ahead_from)) {
		passed = step(slot, job);
		if (passed > 0)
			skip(job, passed);
		scanned += passed;
	}
	if (passed > 0)
		lm_slot_cancel(slot);
	return true;
}
