/* SPDX-License-Identifier: MIT
 *
 * Write-back: sync of lazily filled memory.
 *
 *   harvest -> underway -> written and flushed: forgotten
 *                 |
 *                 +-> failed: given back to the harvest, dirty again
 *
 * A page that the guest writes while it is under way was protected when it was
 * harvested, so it is harvested once more, and written by the next sync.
 * One sync runs at a time (`busy`), so no older bytes can overtake newer ones.
 * Who waits for his turn finds what the one before could not write dirty
 * again, tries it himself, and answers for it.
 *
 * A flush that fails, ours or anybody's of the same object, may have dropped
 * what was written before: everything under way is dirty again.
 */
#include "uffd/write_back.h"

#include "core/error.h"
#include "uffd/harvest.h"
#include "uffd/slot.h"
#include "uffd/write_pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

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
	const int error = check_writable(attachment);

	return error != 0
		       ? error
		       : lazymem_dirty_create(attachment->memory, &attachment->write_back.underway);
}

void lm_write_back_destroy(struct lazymem_attachment *attachment)
{
	lazymem_dirty_destroy(attachment->write_back.underway);
}

static int begin(struct lm_lazy_region *region, size_t page, size_t count)
{
	const struct lazymem_guest_range range = {{lm_lazy_region_guest(region, page)},
						  (uint64_t)count << region->page_shift};
	struct lazymem_dirty *underway = region->attachment->write_back.underway;

	lazymem_dirty_clear(underway);
	return lm_harvest_take_range(region->attachment, LM_ASKER_SYNC, range, underway);
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

int lm_write_back_sync(struct lm_lazy_region *region, size_t page, size_t count)
{
	struct lm_write_back *back = &region->attachment->write_back;
	int error;

	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot sync");
	pthread_mutex_lock(&back->busy);
	error = begin(region, page, count);
	if (error == 0 && lazymem_dirty_length(back->underway) > 0)
		error = write_and_flush(region);
	if (error != 0)
		lm_harvest_give_back(region->attachment, LM_ASKER_SYNC, back->underway);
	lm_count(&region->attachment->statistics, error == 0 ? LM_SYNCS : LM_FAILED_SYNCS, 1);
	pthread_mutex_unlock(&back->busy);
	if (error != 0)
		error = lm_error(error, "sync of [0x%" PRIx64 "+0x%zx]: %s",
				 lm_lazy_region_guest(region, page), count << region->page_shift,
				 lazymem_error_message());
	return error;
}

int lm_write_back_sync_all(struct lazymem_attachment *attachment)
{
	char sentence[512]; /* the next region's sync leaves its own */
	int error = 0;

	for (size_t i = 0; i < attachment->region_count; i++) {
		const int failed = lm_write_back_sync(&attachment->regions[i], 0,
						      attachment->regions[i].map.count);

		if (failed == 0)
			continue;
		error = failed;
		snprintf(sentence, sizeof(sentence), "%s", lazymem_error_message());
	}
	return error != 0 ? lm_error(error, "%s", sentence) : 0;
}
