/* SPDX-License-Identifier: MIT
 *
 * Which pages were written.
 *
 *               installed    a first write               collect
 *   KERNEL      protected    the kernel drops the        PAGEMAP_SCAN tells and protects
 *                            protection, and that's all  again, in one step a page
 *   FAULTS      protected    a message: marked, then     takes the marks, then protects
 *                            the protection dropped      again
 *   POPULATED   as ever      nobody knows                every page that is not MISSING
 *
 * Marks are a bit for each page, set before anybody can rely on them: discards
 * set them in all three ways, writes in the second. In the second, a page is
 * written without notice between the two steps of collect: but it was told by
 * then, and its bytes are in memory before collect returns.
 *
 * What the kernel tells of a page that is mapped is the truth whatever the page
 * map says: it may have been written before it was published. Of shared
 * memory, a page that is PRESENT and not mapped counts as written: its page
 * table entry, and what it knew, may be gone (reclaim, an madvise). A zero page
 * of private memory cannot be installed protected; the kernel tells it from
 * one that was written.
 *
 * Through which mapping a page was written does not matter, so those of all
 * views but the private ones count.
 */
#include "uffd/tracking.h"

#include "core/error.h"
#include "core/memory.h"
#include "uffd/pagemap.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#define WORD_BITS 64u

static size_t word_count(const struct lm_lazy_region *region)
{
	return (region->map.count + WORD_BITS - 1) / WORD_BITS;
}

int lm_tracking_create(struct lm_lazy_region *region)
{
	region->written = calloc(word_count(region), sizeof(*region->written));
	return region->written != NULL
		       ? 0
		       : lm_error(-ENOMEM, "no memory to track %zu pages", region->map.count);
}

void lm_tracking_destroy(struct lm_lazy_region *region)
{
	free(region->written);
	region->written = NULL;
}

void lm_tracking_mark(struct lm_lazy_region *region, size_t page)
{
	if (region->written != NULL)
		atomic_fetch_or(&region->written[page / WORD_BITS], UINT64_C(1)
									    << page % WORD_BITS);
}

/* ---- the mappings of a region */

/* Where a region is mapped and may be written: its own mapping is number 0. NULL: no more,
 * or a private one. */
static char *mapping_at(const struct lm_lazy_region *region, size_t number, size_t *ret_first,
			size_t *ret_pages)
{
	const struct lm_view *view;

	if (number == 0) {
		*ret_first = 0;
		*ret_pages = region->map.count;
		return region->host;
	}
	view = &region->views[number - 1];
	*ret_first = view->first;
	*ret_pages = view->length >> region->page_shift;
	return view->is_private ? NULL : view->host;
}

/* Change the protection of a run in one mapping. Who changes the layout is waited for: the
 * worker reads his event meanwhile. */
static int protect_in(const struct lm_lazy_region *region, char *host, size_t pages, bool protect,
		      bool waits)
{
	int error;

	do {
		error = lm_userfaultfd_protect(region->attachment->fd, host,
					       pages << region->page_shift, protect);
	} while (error == -EAGAIN && waits && sched_yield() == 0);
	return error == -ENOENT ? 0 : error; /* nothing is mapped there */
}

static int protect(const struct lm_lazy_region *region, size_t page, size_t count, bool protect_it,
		   bool waits)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i <= region->view_count; i++) {
		size_t first, pages;
		char *host = mapping_at(region, i, &first, &pages);
		const size_t from = page > first ? page : first;
		const size_t end = page + count < first + pages ? page + count : first + pages;

		if (host != NULL && from < end)
			error = protect_in(region, host + ((from - first) << region->page_shift),
					   end - from, protect_it, waits);
	}
	return error;
}

int lm_tracking_allow(struct lm_lazy_region *region, size_t page)
{
	lm_tracking_mark(region, page);
	return protect(region, page, 1, false, false);
}

/* ---- collect */

struct collection {
	struct lm_lazy_region *region;
	struct lazymem_dirty *dirty;
	char *host; /* the mapping that is being scanned */
	size_t first;
	int error;
};

static int tell(struct collection *collection, size_t page, size_t count)
{
	const struct lm_lazy_region *region = collection->region;
	const struct lazymem_guest_range range = {{lm_lazy_region_guest(region, page)},
						  (uint64_t)count << region->page_shift};

	return lazymem_dirty_add(collection->dirty, range);
}

/* Of a run, the pages that are PRESENT. */
static int tell_present(struct collection *collection, size_t page, size_t count)
{
	const struct lm_page_map *map = &collection->region->map;
	const size_t end = page + count;
	int error = 0;

	for (size_t run; error == 0; page += run) {
		page = lm_page_map_next(map, page, end, LM_PAGE_PRESENT);
		if (page == end)
			return 0;
		run = lm_page_map_run(map, page, end - page, LM_PAGE_PRESENT);
		error = tell(collection, page, run);
	}
	return error;
}

/* Every page that may have been touched: one that is being populated, or given
 * its zeros, may have been written already. */
static int tell_populated(struct collection *collection)
{
	const struct lm_page_map *map = &collection->region->map;
	size_t page = 0, end;
	int error = 0;

	for (; error == 0 && page < map->count; page = end) {
		page += lm_page_map_run(map, page, map->count - page, LM_PAGE_MISSING);
		end = lm_page_map_next(map, page, map->count, LM_PAGE_MISSING);
		if (page < end)
			error = tell(collection, page, end - page);
	}
	return error;
}

static void found(void *context, const char *host, size_t length, bool mapped)
{
	struct collection *collection = context;
	const unsigned shift = collection->region->page_shift;
	const size_t page = collection->first + ((size_t)(host - collection->host) >> shift);
	const size_t count = length >> shift;
	int error = mapped ? tell(collection, page, count) : tell_present(collection, page, count);

	if (collection->error == 0)
		collection->error = error;
}

static int scan(struct collection *collection)
{
	const struct lm_lazy_region *region = collection->region;
	int error = 0;

	for (size_t i = 0; error == 0 && i <= region->view_count; i++) {
		size_t pages;

		collection->host = mapping_at(region, i, &collection->first, &pages);
		if (collection->host == NULL)
			continue;
		error = lm_pagemap_collect(collection->host, pages << region->page_shift,
					   region->alias != NULL, found, collection);
		if (error != 0)
			return lm_error_errno(error, "cannot ask which pages were written");
	}
	return collection->error;
}

/* Take the marks of one word, tell them, and protect their pages again. */
static int take_word(struct collection *collection, size_t word)
{
	struct lm_lazy_region *region = collection->region;
	uint64_t marks = atomic_exchange(&region->written[word], 0);
	int error = 0;

	while (error == 0 && marks != 0) {
		const unsigned bit = (unsigned)__builtin_ctzll(marks);
		const size_t page = word * WORD_BITS + bit;

		error = tell(collection, page, 1);
		if (error == 0 && region->attachment->tracking == LAZYMEM_TRACKING_FAULTS)
			error = protect(region, page, 1, true, true);
		if (error == 0)
			marks &= marks - 1;
	}
	if (marks != 0) /* they are told again */
		atomic_fetch_or(&region->written[word], marks);
	return error;
}

static int take_marks(struct collection *collection)
{
	const size_t words = word_count(collection->region);
	int error = 0;

	for (size_t word = 0; error == 0 && word < words; word++)
		if (atomic_load_explicit(&collection->region->written[word],
					 memory_order_relaxed) != 0)
			error = take_word(collection, word);
	return error;
}

static int collect_region(struct lm_lazy_region *region, struct lazymem_dirty *dirty)
{
	struct collection collection = {.region = region, .dirty = dirty};
	int error = take_marks(&collection);

	if (error != 0)
		return error;
	if (region->attachment->tracking == LAZYMEM_TRACKING_KERNEL)
		return scan(&collection);
	if (region->attachment->tracking == LAZYMEM_TRACKING_POPULATED)
		return tell_populated(&collection);
	return 0;
}

int lazymem_attachment_collect(struct lazymem_attachment *attachment, struct lazymem_dirty *dirty)
{
	int error = 0;

	if (attachment->tracking == LAZYMEM_TRACKING_NONE)
		return lm_error(-EINVAL, "the attachment was made without LAZYMEM_ATTACH_TRACK");
	if (!lm_dirty_fits(dirty, attachment->memory))
		return lm_error(-EINVAL, "the dirty set is of guest memory of different regions");
	pthread_rwlock_rdlock(&attachment->lock); /* the views stay */
	for (size_t i = 0; error == 0 && i < attachment->region_count; i++)
		error = collect_region(&attachment->regions[i], dirty);
	pthread_rwlock_unlock(&attachment->lock);
	return error;
}

enum lazymem_tracking lazymem_attachment_tracking(const struct lazymem_attachment *attachment)
{
	return attachment->tracking;
}
