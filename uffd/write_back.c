/* SPDX-License-Identifier: MIT
 *
 * Write-back: sync of lazily filled memory.
 *
 * What tracking tells is told once, and two ask: sync, and whoever collects. So it
 * is harvested into two sets, and each takes from its own:
 *
 *   tracking -> harvest -> unsynced -> underway -> written and flushed: forgotten
 *                     \           ^-------+  failed: dirty again
 *                      +-> untold -> the caller of collect
 *
 * A page that the guest writes while it is under way was protected when it was
 * harvested, so it comes into `unsynced` once more, and is written by the next sync.
 * One sync runs at a time (`busy`), so no older bytes can overtake newer ones.
 * Who waits for his turn finds what the one before could not write dirty
 * again, tries it himself, and answers for it.
 *
 * A flush that fails, ours or anybody's of the same object, may have dropped
 * what was written before: everything under way is dirty again.
 */
#include "uffd/write_back.h"

#include "core/error.h"
#include "uffd/slot.h"
#include "uffd/tracking.h"
#include "uffd/write_pieces.h"

#include <errno.h>
#include <inttypes.h>

static int check_writable(const struct lazymem_attachment *attachment)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		const struct lm_lazy_region *region = &attachment->regions[i];

		if (!lazymem_backing_is_writable(region->backing))
			return lm_error(-EROFS,
					"region [0x%" PRIx64
					"+0x%zx] cannot be written back: %s is read-only",
					region->guest, region->length,
					lazymem_backing_name(region->backing));
	}
	return 0;
}

int lm_write_back_create(struct lazymem_attachment *attachment)
{
	struct lm_write_back *sets = &attachment->write_back;
	int error = check_writable(attachment);

	if (error == 0)
		error = lazymem_dirty_create(attachment->memory, &sets->fresh);
	if (error == 0)
		error = lazymem_dirty_create(attachment->memory, &sets->untold);
	if (error == 0)
		error = lazymem_dirty_create(attachment->memory, &sets->underway);
	if (error == 0)
		error = lazymem_dirty_create(attachment->memory, &sets->unsynced);
	return error;
}

void lm_write_back_destroy(struct lazymem_attachment *attachment)
{
	struct lm_write_back *sets = &attachment->write_back;

	lazymem_dirty_destroy(sets->fresh);
	lazymem_dirty_destroy(sets->untold);
	lazymem_dirty_destroy(sets->underway);
	lazymem_dirty_destroy(sets->unsynced);
}

/* The mutex is held. What was found before an error is in both sets. */
static int harvest(struct lazymem_attachment *attachment)
{
	struct lm_write_back *sets = &attachment->write_back;
	int error;

	lazymem_dirty_clear(sets->fresh);
	error = lm_tracking_collect(attachment, sets->fresh);
	(void)lazymem_dirty_merge(sets->unsynced, sets->fresh); /* of the same shape */
	(void)lazymem_dirty_merge(sets->untold, sets->fresh);
	return error;
}

int lm_write_back_collect(struct lazymem_attachment *attachment, struct lazymem_dirty *dirty)
{
	struct lm_write_back *sets = &attachment->write_back;
	int error;

	pthread_mutex_lock(&sets->mutex);
	error = harvest(attachment);
	if (error == 0)
		error = lazymem_dirty_merge(dirty, sets->untold);
	if (error == 0)
		lazymem_dirty_clear(sets->untold);
	pthread_mutex_unlock(&sets->mutex);
	return error;
}

/* Move what is dirty of a range from `unsynced` to `underway`. */
static int take(struct lm_write_back *sets, uint64_t start, uint64_t length)
{
	struct lazymem_guest_range range = {{start}, 0};
	uint64_t done = 0;
	int error = 0;

	while (error == 0 && done < length &&
	       lazymem_dirty_next(sets->unsynced, (lazymem_guest_address){start + done}, &range) ==
		       0) {
		const uint64_t skip = range.start.value - start;

		if (skip >= length)
			break;
		if (range.length > length - skip)
			range.length = length - skip;
		error = lazymem_dirty_add(sets->underway, range);
		if (error == 0)
			error = lazymem_dirty_remove(sets->unsynced, range);
		done = skip + range.length;
	}
	return error;
}

static int begin(struct lm_lazy_region *region, size_t page, size_t count)
{
	struct lm_write_back *sets = &region->attachment->write_back;
	int error;

	pthread_mutex_lock(&sets->mutex);
	lazymem_dirty_clear(sets->underway);
	error = harvest(region->attachment);
	/* A page that was discarded and written again looks discarded until then. */
	lm_tracking_settle(region->attachment);
	if (error == 0)
		error = take(sets, lm_lazy_region_guest(region, page),
			     (uint64_t)count << region->page_shift);
	pthread_mutex_unlock(&sets->mutex);
	return error;
}

static int write_and_flush(struct lm_lazy_region *region)
{
	const uint64_t failed = lazymem_backing_failed_flushes(region->backing);
	int error = lm_write_pieces(region, region->attachment->write_back.underway);

	if (error == 0)
		error = lazymem_backing_flush(region->backing);
	if (error == 0 && lazymem_backing_failed_flushes(region->backing) != failed)
		error = lm_error(-EIO, "another flush of %s has failed meanwhile",
				 lazymem_backing_name(region->backing));
	return error;
}

static void take_back(struct lm_write_back *sets)
{
	pthread_mutex_lock(&sets->mutex);
	(void)lazymem_dirty_merge(sets->unsynced, sets->underway);
	pthread_mutex_unlock(&sets->mutex);
}

int lm_write_back_sync(struct lm_lazy_region *region, size_t page, size_t count)
{
	struct lm_write_back *sets = &region->attachment->write_back;
	int error;

	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot sync");
	pthread_mutex_lock(&sets->busy);
	error = begin(region, page, count);
	if (error == 0 && lazymem_dirty_length(sets->underway) > 0)
		error = write_and_flush(region);
	if (error != 0)
		take_back(sets);
	pthread_mutex_unlock(&sets->busy);
	if (error != 0)
		error = lm_error(error, "sync of [0x%" PRIx64 "+0x%zx]: %s",
				 lm_lazy_region_guest(region, page), count << region->page_shift,
				 lazymem_error_message());
	return error;
}

int lm_write_back_sync_all(struct lazymem_attachment *attachment)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < attachment->region_count; i++)
		error = lm_write_back_sync(&attachment->regions[i], 0,
					   attachment->regions[i].map.count);
	return error;
}
