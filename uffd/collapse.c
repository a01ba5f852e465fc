/* SPDX-License-Identifier: MIT
 *
 * Huge pages for a region that was advised to have them.
 *
 * Pages arrive as small ones. While the region is registered, the kernel
 * collapses a block only if every page of it is a real one (no hole, and no
 * zero page of private memory), and a refused try on shared memory takes the
 * block out of the page table; so only blocks that were counted full are
 * tried, and only when no fault has come for a while, since the worker serves
 * nobody meanwhile. When everything is there and the region is no longer
 * registered, the rest follows: every block that holds something and of which
 * nothing was discarded. A block nobody touched, all hole, is left: the kernel
 * makes it a huge page at its first touch.
 */
#include "uffd/collapse.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/mapping_operations.h"

#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* include/uapi/asm-generic/mman-common.h, Linux 6.1 */
#endif

/* So long without a message, and the worker may do something long. */
#define QUIET_NS UINT64_C(10000000)

static bool collapse(struct lm_lazy_region *region, size_t block, struct lm_statistics *statistics)
{
	char *host = lm_lazy_region_host(region, lm_lazy_region_block_page(region, block));

	if (madvise(host, LM_BLOCK, MADV_COLLAPSE) != 0)
		return false;
	region->present_in_block[block] = LM_BLOCK_COLLAPSED;
	lm_count(statistics, LM_BLOCKS_COLLAPSED, 1);
	return true;
}

static bool collapse_one(struct lazymem_attachment *attachment, struct lm_lazy_region *region)
{
	for (size_t block = 0; block < region->blocks; block++) {
		if (region->present_in_block[block] != LM_BLOCK_COMPLETE)
			continue;
		region->complete_blocks--;
		if (!collapse(region, block, &attachment->statistics))
			region->present_in_block[block] = LM_BLOCK_BROKEN;
		return true;
	}
	return false;
}

bool lm_collapse_step(struct lm_worker *worker, struct lazymem_attachment *attachment,
		      uint64_t *ret_due)
{
	uint64_t quiet = worker->last_message + QUIET_NS;
	size_t i = 0;
	bool tried;

	while (i < attachment->region_count && attachment->regions[i].complete_blocks == 0)
		i++;
	if (i == attachment->region_count)
		return false;
	if (lm_clock_ns() < quiet) {
		*ret_due = lm_min(*ret_due, quiet);
		return false;
	}
	pthread_rwlock_rdlock(&attachment->lock);
	tried = collapse_one(attachment, &attachment->regions[i]);
	pthread_rwlock_unlock(&attachment->lock);
	return tried;
}

static bool is_worth_it(const struct lm_lazy_region *region, size_t block)
{
	size_t page = lm_lazy_region_block_page(region, block);
	size_t end = page + (LM_BLOCK >> region->page_shift);

	return region->present_in_block[block] != LM_BLOCK_COLLAPSED &&
	       lm_page_map_next(&region->map, page, end, LM_PAGE_PRESENT) < end &&
	       lm_page_map_next(&region->map, page, end, LM_PAGE_DISCARDED) == end;
}

void lm_collapse_rest(struct lm_lazy_region *region, struct lm_statistics *statistics)
{
	if (!lm_mapping_wants_hugepages(region->mapping))
		return;
	for (size_t block = 0; block < region->blocks; block++)
		if (is_worth_it(region, block))
			collapse(region, block, statistics);
}
