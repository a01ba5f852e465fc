/* SPDX-License-Identifier: MIT
 *
 * The regions of an attachment.
 */
#include "uffd/attachment.h"

struct lm_lazy_region *lm_attachment_find(struct lazymem_attachment *attachment, uint64_t address,
					  size_t *ret_page)
{
	size_t low = 0, high = attachment->region_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		struct lm_lazy_region *region = &attachment->regions[middle];
		uint64_t host = (uintptr_t)region->host;

		if (address < host) {
			high = middle;
		} else if (address - host >= region->length) {
			low = middle + 1;
		} else {
			*ret_page = (size_t)(address - host) >> region->page_shift;
			return region;
		}
	}
	return NULL;
}

size_t lm_attachment_pages(const struct lazymem_attachment *attachment)
{
	size_t pages = 0;

	for (size_t i = 0; i < attachment->region_count; i++)
		pages += attachment->regions[i].map.count;
	return pages;
}

bool lm_attachment_is_served(struct lazymem_attachment *attachment)
{
	bool serving;

	pthread_rwlock_rdlock(&attachment->lock);
	serving = attachment->serving;
	pthread_rwlock_unlock(&attachment->lock);
	return serving;
}
