/* SPDX-License-Identifier: MIT
 *
 * Writing dirty ranges, sorted as the set gives them, in pieces of at most
 * PIECE bytes, DEPTH of them in flight on a queue of this call's own.
 *
 * The bytes are written from where the guest has them. It may change them
 * meanwhile: then they are dirty again, for they were protected before this
 * began, and the next sync writes them.
 *
 * A page that is DISCARDED is nowhere in memory, unless the file behind it has it still
 * (held.c); its place in the object becomes a hole, or zeros where the object has no holes to
 * make. Should the guest write it at this moment, it is dirty again as well.
 *
 * Completions come inside lm_queue_run or from threads of the object; in both
 * cases the piece is given back by an atomic count, and the queue is woken. The
 * last to come may still be about to wake it when the count says that all are over, so
 * `completing` is waited for before the queue goes.
 */
#include "uffd/write_pieces.h"

#include "backing/queue.h"
#include "core/checked.h"
#include "core/error.h"
#include "uffd/attachment.h"
#include "uffd/held.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>

#define PIECE ((uint64_t)1 << 20)
#define DEPTH 64

struct piece {
	struct lazymem_write write;
	struct writing *writing;
	atomic_bool in_flight;
	int error;
};

struct writing {
	struct lm_lazy_region *region;
	struct lm_queue *queue;
	struct piece pieces[DEPTH];
	atomic_uint in_flight;
	atomic_uint completing;
	int error; /* the first one */
	uint64_t failed_at;
};

static void completed(struct lazymem_write *write, int error)
{
	struct piece *piece = write->context;
	struct writing *writing = piece->writing;

	atomic_fetch_add(&writing->completing, 1);
	piece->error = error;
	atomic_store(&piece->in_flight, false);
	atomic_fetch_sub(&writing->in_flight, 1);
	lm_queue_wake(writing->queue);
	atomic_fetch_sub(&writing->completing, 1);
}

static void note(struct writing *writing, uint64_t offset, int error)
{
	if (error == 0 || writing->error != 0)
		return;
	writing->error = error;
	writing->failed_at = offset;
}

/* Look at the pieces that are over. */
static struct piece *find_free(struct writing *writing)
{
	struct piece *found = NULL;

	for (size_t i = 0; i < DEPTH; i++) {
		struct piece *piece = &writing->pieces[i];

		if (atomic_load(&piece->in_flight))
			continue;
		note(writing, piece->write.offset, piece->error);
		if (piece->error == 0)
			lm_count(&writing->region->attachment->statistics, LM_BYTES_WRITTEN,
				 piece->write.length);
		piece->write.length = 0; /* counted */
		piece->error = 0;
		found = piece;
	}
	return found;
}

static struct piece *wait_for_free(struct writing *writing)
{
	struct piece *piece;

	while ((piece = find_free(writing)) == NULL)
		lm_queue_run(writing->queue, UINT64_MAX);
	return piece;
}

static void wait_for_all(struct writing *writing)
{
	while (atomic_load(&writing->in_flight) > 0)
		lm_queue_run(writing->queue, UINT64_MAX);
	while (atomic_load(&writing->completing) > 0)
		sched_yield();
	(void)find_free(writing);
}

static void submit(struct writing *writing, uint64_t offset, const void *bytes, uint64_t length)
{
	struct piece *piece = wait_for_free(writing);

	if (writing->error != 0)
		return;
	piece->writing = writing;
	piece->write = (struct lazymem_write){
		.offset = offset,
		.length = (size_t)length,
		.buffer = bytes,
		.complete = completed,
		.context = piece,
		.queue = writing->queue,
	};
	atomic_store(&piece->in_flight, true);
	atomic_fetch_add(&writing->in_flight, 1);
	lazymem_backing_submit_write(writing->region->backing, &piece->write);
}

/* The object may end inside the last page. */
static uint64_t inside(const struct lm_lazy_region *region, uint64_t offset, uint64_t length)
{
	const uint64_t end = lazymem_backing_length(region->backing);

	return offset < end ? lm_min(length, end - offset) : 0;
}

static void write_run(struct writing *writing, size_t page, size_t count)
{
	const struct lm_lazy_region *region = writing->region;
	const char *host = lm_lazy_region_host(region, page);
	uint64_t offset = lm_lazy_region_offset(region, page);
	uint64_t left = inside(region, offset, (uint64_t)count << region->page_shift);

	for (uint64_t length; left > 0 && writing->error == 0; left -= length) {
		length = lm_min(left, PIECE);
		submit(writing, offset, host, length);
		offset += length;
		host += length;
	}
}

static void write_zeros(struct writing *writing, uint64_t offset, uint64_t left)
{
	static const char zeros[64 << 10];

	for (uint64_t length; left > 0 && writing->error == 0; left -= length) {
		length = lm_min(left, sizeof(zeros));
		submit(writing, offset, zeros, length);
		offset += length;
	}
}

static void discard_run(struct writing *writing, size_t page, size_t count)
{
	const struct lm_lazy_region *region = writing->region;
	const uint64_t offset = lm_lazy_region_offset(region, page);
	const uint64_t length = inside(region, offset, (uint64_t)count << region->page_shift);
	int error = length > 0 ? lazymem_backing_discard(region->backing, offset, length) : 0;

	if (error == -EOPNOTSUPP)
		write_zeros(writing, offset, length);
	else
		note(writing, offset, error);
}

/* Discarded pages. */
static void give_back_run(struct writing *writing, size_t page, size_t count)
{
	const size_t end = page + count;

	for (size_t run; page < end && writing->error == 0; page += run) {
		bool held;

		run = lm_held_run(writing->region, page, end - page, &held);
		if (held)
			write_run(writing, page, run);
		else
			discard_run(writing, page, run);
	}
}

/* What becomes of a dirty page. What was written had been published before it was
 * taken; the rest was written by nobody, and cannot always be read: poison, also while
 * a prefetch has it claimed to heal it. */
enum fate { WRITTEN, GIVEN_BACK, PASSED_OVER };

static enum fate fate_of(const struct lm_page_map *map, size_t page)
{
	switch (lm_page_map_get(map, page)) {
	case LM_PAGE_DISCARDED:
		return GIVEN_BACK;
	case LM_PAGE_PRESENT:
		return WRITTEN;
	case LM_PAGE_MISSING:
	case LM_PAGE_CLAIMED:
	case LM_PAGE_POISONED:
		break;
	}
	return PASSED_OVER;
}

/* A run of dirty pages, cut where their fates part. */
static void write_dirty(struct writing *writing, size_t page, size_t count)
{
	const struct lm_page_map *map = &writing->region->map;
	const size_t end = page + count;

	for (size_t run; page < end && writing->error == 0; page += run) {
		const enum fate fate = fate_of(map, page);

		run = 1;
		while (page + run < end && fate_of(map, page + run) == fate)
			run++;
		if (fate == WRITTEN)
			write_run(writing, page, run);
		else if (fate == GIVEN_BACK)
			give_back_run(writing, page, run);
	}
}

static void write_all(struct writing *writing, const struct lazymem_dirty *dirty)
{
	const struct lm_lazy_region *region = writing->region;
	struct lazymem_guest_range range = {{region->guest}, 0};
	const uint64_t end = region->length; /* in the region */
	uint64_t at = 0;

	while (at < end && writing->error == 0 &&
	       lazymem_dirty_next(dirty, (lazymem_guest_address){region->guest + at}, &range) ==
		       0) {
		at = range.start.value - region->guest;
		if (at >= end)
			return;
		write_dirty(writing, (size_t)(at >> region->page_shift),
			    (size_t)(range.length >> region->page_shift));
		at += range.length;
	}
}

int lm_write_pieces(struct lm_lazy_region *region, const struct lazymem_dirty *dirty)
{
	struct writing *writing = calloc(1, sizeof(*writing));
	int error;

	if (writing == NULL)
		return lm_error(-ENOMEM, "no memory to write dirty pages");
	writing->region = region;
	error = lm_queue_create(DEPTH, &writing->queue);
	if (error == 0) {
		write_all(writing, dirty);
		wait_for_all(writing);
		lm_queue_destroy(writing->queue);
		error = writing->error;
	}
	if (writing->error != 0)
		error = lm_error_errno(error, "cannot write byte %" PRIu64 " of %s",
				       writing->failed_at, lazymem_backing_name(region->backing));
	free(writing);
	return error;
}
