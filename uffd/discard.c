/* SPDX-License-Identifier: MIT
 *
 * What the operations of a mapping mean while its region is filled lazily.
 *
 * Discard marks first and zaps afterwards. From the mark on, a page of the
 * range can only be populated with zeros, so whatever happens between the two
 * steps, it reads as zeros once the zap is done. The zap itself runs without
 * the lock: madvise sleeps until the worker has read its REMOVE event, for
 * which the worker needs the lock.
 *
 * A large range is taken in chunks: nobody needs it to go at one moment, and
 * everybody else needs the lock.
 *
 * Before the region is registered and after it was let go of, the plain
 * operations apply.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping_operations.h"
#include "uffd/command.h"
#include "uffd/tracking.h"
#include "uffd/write_back.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Pages marked at a time, so that nobody waits long for the lock. */
#define CHUNK_PAGES ((size_t)1 << 15)

void lm_attachment_mark_discarded(struct lazymem_attachment *attachment,
				  struct lm_lazy_region *region, size_t page, size_t count,
				  uint8_t *ret_before)
{
	size_t poisoned = 0, changed = 0;

	for (size_t i = 0; i < count; i++) {
		enum lm_page_state state = lm_page_map_get(&region->map, page + i);

		poisoned += state == LM_PAGE_POISONED;
		if (state != LM_PAGE_DISCARDED)
			lm_tracking_mark(region, page + i);
		/* A discard of ours comes here twice: marked, then by its own event. */
		changed += state != LM_PAGE_DISCARDED;
		if (ret_before != NULL)
			ret_before[i] = (uint8_t)state;
	}
	if (changed == 0)
		return;
	lm_page_map_discard(&region->map, page, count);
	lm_lazy_region_break_blocks(region, page, count);
	atomic_fetch_sub(&attachment->poisoned, poisoned);
	lm_count(&attachment->statistics, LM_PAGES_DISCARDED, changed);
}

/* What is to be taken back of a discard whose zap failed. */
struct mark {
	struct lm_lazy_region *region;
	size_t page, count;
	const uint8_t *before;
};

/* A claim is given back only to a slot that has not seen yet that it was gone;
 * without one the page is missing again. */
static enum lm_page_state state_before(struct lm_worker *worker, const struct mark *mark, size_t i)
{
	enum lm_page_state state = (enum lm_page_state)mark->before[i];

	if (state == LM_PAGE_CLAIMED && lm_slot_find(worker, mark->region, mark->page + i) == NULL)
		return LM_PAGE_MISSING;
	return state;
}

static void run_unmark(struct lm_worker *worker, struct lm_command *command)
{
	const struct mark *mark = command->argument;
	struct lm_lazy_region *region = mark->region;
	struct lazymem_attachment *attachment = region->attachment;

	pthread_rwlock_wrlock(&attachment->lock);
	for (size_t i = 0; i < mark->count; i++) {
		enum lm_page_state state = state_before(worker, mark, i);

		if (lm_page_map_undo_discard(&region->map, mark->page + i, state) &&
		    state == LM_PAGE_POISONED)
			atomic_fetch_add(&attachment->poisoned, 1);
	}
	pthread_rwlock_unlock(&attachment->lock);
	lm_worker_end_command(worker, command);
}

/* The zap failed, so the pages are what they were: a missing one must not
 * become a false zero. On the worker, which knows its slots. */
static void unmark(struct lm_lazy_region *region, size_t page, size_t count, const uint8_t *before)
{
	struct mark mark = {.region = region, .page = page, .count = count, .before = before};
	struct lm_command command = {.run = run_unmark, .argument = &mark};

	lm_worker_call(region->attachment->worker, &command);
}

static int zap(struct lm_lazy_region *region, size_t page, size_t count)
{
	size_t start = page << region->page_shift, length = count << region->page_shift;
	int error = lm_mapping_plain.discard(region->mapping, NULL, start, length);

	if (error != 0 || !atomic_load(&region->had_poison))
		return error;
	lm_lazy_region_unprotect(region, page, count);
	/* Punching a hole in shared memory leaves the poison in the page table. */
	if (lm_mapping_is_shared(region->mapping) &&
	    madvise(region->host + start, length, MADV_DONTNEED) != 0)
		return lm_error_errno(-errno, "cannot clear poisoned pages");
	return 0;
}

static int discard_chunk(struct lm_lazy_region *region, size_t page, size_t count, uint8_t *before)
{
	struct lazymem_attachment *attachment = region->attachment;
	int error;

	pthread_rwlock_wrlock(&attachment->lock);
	lm_attachment_mark_discarded(attachment, region, page, count, before);
	pthread_rwlock_unlock(&attachment->lock);
	error = zap(region, page, count);
	if (error != 0) {
		unmark(region, page, count, before);
		return error;
	}
	for (size_t i = 0; i < count; i++) /* what was told before it was gone */
		lm_tracking_mark(region, page + i);
	return 0;
}

static int discard_lazy(struct lm_lazy_region *region, size_t page, size_t count)
{
	uint8_t *before = malloc((size_t)lm_min(count, CHUNK_PAGES));
	int error = 0;

	if (before == NULL)
		return lm_error(-ENOMEM, "no memory to discard %zu pages", count);
	for (size_t chunk; error == 0 && count > 0; page += chunk, count -= chunk) {
		chunk = (size_t)lm_min(count, CHUNK_PAGES);
		error = discard_chunk(region, page, chunk, before);
	}
	free(before);
	return error;
}

static int discard(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct lm_lazy_region *region = state;

	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot discard");
	if (!lm_attachment_is_served(region->attachment))
		return lm_mapping_plain.discard(mapping, NULL, start, length);
	return discard_lazy(region, start >> region->page_shift, length >> region->page_shift);
}

static int prefetch(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct lm_lazy_region *region = state;
	struct lazymem_guest_range range = {.length = length};
	struct lazymem_prefetch options = {
		.size = sizeof(options), .ranges = &range, .range_count = 1};

	if (!lm_attachment_is_served(region->attachment))
		return lm_mapping_plain.prefetch(mapping, NULL, start, length);
	range.start.value = region->guest + start;
	return lazymem_attachment_prefetch(region->attachment, &options);
}

/* Memory that is not written back is private, or has no file behind it: there
 * is nothing to make durable, as in the plain case. */
static int sync(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct lm_lazy_region *region = state;
	const size_t first = start >> region->page_shift;
	const size_t end = (start + length + region->page_size - 1) >> region->page_shift;

	if (!lm_write_back_is_on(region->attachment) ||
	    !lm_attachment_is_served(region->attachment))
		return lm_mapping_plain.sync(mapping, NULL, start, length);
	return lm_write_back_sync(region, first, end - first);
}

static int resident(struct lazymem_mapping *mapping, void *state, size_t start, size_t length,
		    size_t *ret_bytes)
{
	(void)state;
	return lm_mapping_plain.resident(mapping, NULL, start, length, ret_bytes);
}

const struct lm_mapping_operations lm_lazy_operations = {
	.sync = sync,
	.discard = discard,
	.prefetch = prefetch,
	.resident = resident,
};
