/* SPDX-License-Identifier: MIT
 *
 * Where the pages of a region with views appear.
 *
 *   installed  once: in the oldest shared view that has them, or in the region's
 *              own mapping, so that a program with one mapping pays for one, and
 *              its memory is counted once
 *   mapped     in every other view, by CONTINUE from the page cache; a private one
 *              maps them read-only, and a write there copies
 *   poisoned   in each of them
 *
 * A page that is PRESENT and not mapped in some view (it was advised away, or
 * the kernel was busy) raises a minor fault there, and comes here again.
 */
#include "uffd/view.h"

#include "core/checked.h"
#include "uffd/tracking.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <sys/mman.h>

/* The pages of [page, page + count) that a view has: *ret_host and how many, 0
 * for none. */
static size_t part_in(const struct lm_lazy_region *region, const struct lm_view *view, size_t page,
		      size_t count, char **ret_host)
{
	const size_t pages = view->length >> region->page_shift;
	const size_t from = page > view->first ? page : view->first;
	const size_t end = (size_t)lm_min(page + count, view->first + pages);

	if (from >= end)
		return 0;
	*ret_host = view->host + ((from - view->first) << region->page_shift);
	return end - from;
}

char *lm_view_place(const struct lm_lazy_region *region, size_t page, size_t *count)
{
	for (size_t i = 0; i < region->view_count; i++) {
		const struct lm_view *view = &region->views[i];
		const size_t pages = view->length >> region->page_shift;

		if (view->is_private)
			continue;
		if (page >= view->first && page - view->first < pages) {
			*count = (size_t)lm_min(*count, view->first + pages - page);
			return view->host + ((page - view->first) << region->page_shift);
		}
		if (view->first > page) /* what lies in a view is installed there */
			*count = (size_t)lm_min(*count, view->first - page);
	}
	return lm_lazy_region_host(region, page);
}

/* CONTINUE what is not mapped yet; over what is, page by page, as the verb stops there. */
static void map_part(const struct lm_lazy_region *region, char *host, size_t count, unsigned how)
{
	const int fd = region->attachment->fd;

	while (count > 0) {
		struct lm_verb verb =
			lm_userfaultfd_continue(fd, host, count << region->page_shift, how);
		size_t done = (size_t)(verb.done >> region->page_shift);

		if (done == 0) {
			(void)lm_userfaultfd_wake(fd, host, count << region->page_shift);
			if (verb.error != -EEXIST)
				return;
			done = 1;
		}
		host += done << region->page_shift;
		count -= done;
	}
}

static void follow_own(const struct lm_lazy_region *region, size_t page, size_t count, bool own,
		       unsigned how)
{
	char *host = lm_lazy_region_host(region, page);

	if (own)
		map_part(region, host, count, how);
	else
		(void)lm_userfaultfd_wake(region->attachment->fd, host,
					  count << region->page_shift);
}

void lm_view_follow(const struct lm_lazy_region *region, size_t page, size_t count, bool own,
		    bool again)
{
	const unsigned how = lm_tracking_protection(region, again);
	size_t together = count;
	char *place, *host = NULL;

	if (region->view_count == 0)
		return;
	place = lm_view_place(region, page, &together);
	if (place != lm_lazy_region_host(region, page))
		follow_own(region, page, count, own, how);
	for (size_t i = 0; i < region->view_count; i++) {
		const struct lm_view *view = &region->views[i];
		const size_t pages = part_in(region, view, page, count, &host);

		if (pages > 0 && host != place)
			map_part(region, host, pages, view->is_private ? 0 : how);
	}
}

/* Without UFFDIO_POISON, the pages cannot be accessed from then on. */
static int poison_part(const struct lm_lazy_region *region, char *host, size_t count, bool protects)
{
	const int fd = region->attachment->fd;

	/* A protected hole refuses poison. */
	if (protects &&
	    lm_userfaultfd_protect(fd, host, count << region->page_shift, false) == -EAGAIN)
		return -EAGAIN;
	if ((region->can & LM_CAN_POISON) == 0)
		mprotect(host, count << region->page_shift, PROT_NONE);
	while (count > 0 && (region->can & LM_CAN_POISON) != 0) {
		struct lm_verb verb = lm_userfaultfd_poison(fd, host, count << region->page_shift);
		size_t done = (size_t)(verb.done >> region->page_shift);

		if (verb.error == -EAGAIN && done == 0)
			return -EAGAIN;
		if (verb.error == -EEXIST && done == 0)
			done = 1;
		if (verb.error != 0 && done == 0)
			return 0; /* not mapped any more */
		host += done << region->page_shift;
		count -= done;
	}
	return 0;
}

int lm_view_poison(const struct lm_lazy_region *region, size_t page, size_t count)
{
	char *host = NULL;

	for (size_t i = 0; i < region->view_count; i++) {
		const struct lm_view *view = &region->views[i];
		const size_t pages = part_in(region, view, page, count, &host);
		const bool protects = !view->is_private && lm_tracking_protects(region);
		const int error = pages > 0 ? poison_part(region, host, pages, protects) : 0;

		if (error != 0)
			return error;
	}
	lm_view_wake(region, page, count);
	return 0;
}

void lm_view_wake(const struct lm_lazy_region *region, size_t page, size_t count)
{
	char *host = NULL;

	for (size_t i = 0; i < region->view_count; i++) {
		const size_t pages = part_in(region, &region->views[i], page, count, &host);

		if (pages > 0)
			(void)lm_userfaultfd_wake(region->attachment->fd, host,
						  pages << region->page_shift);
	}
}
