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
 * Before the region is registered and after it was let go of, the plain
 * operations apply.
 */
#include "core/error.h"
#include "core/mapping_operations.h"
#include "uffd/worker.h"

#include <errno.h>
#include <sys/mman.h>

size_t lm_attachment_mark_discarded(struct lazymem_attachment *attachment,
				    struct lm_lazy_region *region, size_t page, size_t count)
{
	size_t poisoned = 0, kept = 0;

	for (size_t i = page; i < page + count; i++) {
		enum lm_page_state state = lm_page_map_get(&region->map, i);

		poisoned += state == LM_PAGE_POISONED;
		/* A discard of ours comes here twice: marked, then by its own event. */
		kept += state != LM_PAGE_DISCARDED;
	}
	lm_page_map_discard(&region->map, page, count);
	lm_lazy_region_break_blocks(region, page, count);
	atomic_fetch_sub(&attachment->poisoned, poisoned);
	lm_count(&attachment->statistics, LM_PAGES_DISCARDED, kept);
	return poisoned;
}

static int discard(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct lm_lazy_region *region = state;
	struct lazymem_attachment *attachment = region->attachment;
	size_t poisoned = 0;
	int error;

	pthread_rwlock_wrlock(&attachment->lock);
	if (region->registered)
		poisoned = lm_attachment_mark_discarded(attachment, region,
							start >> region->page_shift,
							length >> region->page_shift);
	pthread_rwlock_unlock(&attachment->lock);
	error = lm_mapping_plain.discard(mapping, NULL, start, length);
	if (poisoned > 0)
		lm_lazy_region_unprotect(region, start >> region->page_shift,
					 length >> region->page_shift);
	/* Punching a hole in shared memory leaves the poison in the page table. */
	if (error == 0 && poisoned > 0 && region->alias != NULL &&
	    madvise(region->host + start, length, MADV_DONTNEED) != 0)
		error = lm_error_errno(-errno, "cannot clear poisoned pages");
	return error;
}

static int prefetch(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	struct lm_lazy_region *region = state;
	struct lazymem_guest_range range = {{region->guest + start}, length};
	struct lazymem_prefetch options = {
		.size = sizeof(options), .ranges = &range, .range_count = 1};

	(void)mapping;
	return lazymem_attachment_prefetch(region->attachment, &options);
}

/* Memory that is filled lazily is private, or has no file behind it: there is
 * nothing to make durable, as in the plain case. */
static int sync(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	(void)state;
	return lm_mapping_plain.sync(mapping, NULL, start, length);
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
