/* SPDX-License-Identifier: MIT
 *
 * The list of a region's views: added, cut, found.
 *
 * A view is a row of pages of the region at a host address of its own. Its
 * faults name an address in it; from there on the page is all that counts, and
 * whoever populates it asks view_verbs.c where it has to appear.
 *
 * A view is in the list before it is registered, and the caller unmaps it
 * after it has left the list. In between, and for a fault whose message was
 * on its way, a thread may ask for an address of nobody: it is woken, and
 * faults again until the caller has done his part (see serve.c).
 */
#include "uffd/view.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/mapping_operations.h"
#include "core/options.h"
#include "uffd/attachment.h"
#include "uffd/tracking.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t start_of(const struct lm_view *view)
{
	return (uintptr_t)view->host;
}

static uint64_t end_of(const struct lm_view *view)
{
	return start_of(view) + view->length;
}

/* ---- find */

static struct lm_lazy_region *find_held(struct lazymem_attachment *attachment, uint64_t address,
					size_t *ret_page)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];

		for (size_t j = 0; j < region->view_count; j++) {
			const struct lm_view *view = &region->views[j];

			if (address < start_of(view) || address >= end_of(view))
				continue;
			*ret_page = view->first +
				    ((size_t)(address - start_of(view)) >> region->page_shift);
			return region;
		}
	}
	return NULL;
}

struct lm_lazy_region *lm_view_find(struct lazymem_attachment *attachment, uint64_t address,
				    size_t *ret_page)
{
	struct lm_lazy_region *region;

	pthread_rwlock_rdlock(&attachment->lock);
	region = find_held(attachment, address, ret_page);
	pthread_rwlock_unlock(&attachment->lock);
	return region;
}

/* ---- add */

static int misfit(const struct lazymem_view *view, int error, const char *why)
{
	return lm_error(error, "view %p+0x%zx of guest address 0x%" PRIx64 ": %s", view->host,
			view->length, view->address.value, why);
}

/* The lazily filled region that holds the guest range of the view. */
static int find_region(struct lazymem_attachment *attachment, const struct lazymem_view *view,
		       struct lm_lazy_region **ret_region)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		const uint64_t offset = view->address.value - region->guest;

		if (view->address.value < region->guest || offset >= region->length)
			continue;
		if (view->length > region->length - offset)
			return misfit(view, -EFAULT, "it goes past the end of its region");
		*ret_region = region;
		return 0;
	}
	return misfit(view, -EFAULT, "no lazily filled region is there");
}

static int check_shape(const struct lm_lazy_region *region, const struct lazymem_view *view)
{
	const uint64_t host = (uintptr_t)view->host;
	uint64_t end;

	if ((view->flags & ~LAZYMEM_VIEW_PRIVATE) != 0)
		return misfit(view, -EINVAL, "unknown flags");
	if (region->alias == NULL)
		return misfit(view, -EINVAL, "the memory of its region is not shared");
	if (view->length == 0 || !lm_add(host, view->length, &end))
		return misfit(view, -EINVAL, "its host range is none");
	if (!lm_is_aligned(host | view->length | (view->address.value - region->guest),
			   region->page_size))
		return misfit(view, -EINVAL, "it is not aligned to the page size");
	return 0;
}

static bool overlaps(const struct lazymem_view *view, const void *host, size_t length)
{
	const uint64_t a = (uintptr_t)view->host, b = (uintptr_t)host;

	return a < b + length && b < a + view->length;
}

static int check_place(const struct lazymem_attachment *attachment, const struct lazymem_view *view)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		const struct lm_lazy_region *region = &attachment->regions[i];

		if (overlaps(view, region->host, region->length) ||
		    overlaps(view, region->alias, region->alias != NULL ? region->length : 0))
			return misfit(view, -EEXIST, "a region's own mapping is there");
		for (size_t j = 0; j < region->view_count; j++)
			if (overlaps(view, region->views[j].host, region->views[j].length))
				return misfit(view, -EEXIST, "another view is there");
	}
	return 0;
}

static int make_room(struct lm_lazy_region *region)
{
	const size_t capacity = region->view_capacity == 0 ? 4 : region->view_capacity * 2;
	struct lm_view *views;

	if (region->view_count < region->view_capacity)
		return 0;
	views = reallocarray(region->views, capacity, sizeof(*views));
	if (views == NULL)
		return lm_error(-ENOMEM, "no memory for %zu views", capacity);
	region->views = views;
	region->view_capacity = capacity;
	return 0;
}

static int register_view(const struct lm_lazy_region *region, const struct lazymem_view *view)
{
	const int fd = region->attachment->fd;
	unsigned modes = lm_lazy_region_modes(region), can = 0;
	int error;

	if (madvise(view->host, view->length, MADV_DONTFORK) != 0)
		return misfit(view, -EINVAL, "it is not mapped");
	if (view->flags & LAZYMEM_VIEW_PRIVATE) /* what is written there is of no region */
		modes &= ~LM_FOR_WRITE;
	error = lm_userfaultfd_register(fd, view->host, view->length, modes, &can);
	if (error == 0 && (can & LM_CAN_CONTINUE) == 0) {
		lm_userfaultfd_unregister(fd, view->host, view->length);
		error = misfit(view, -EOPNOTSUPP, "the kernel has no minor faults there");
	}
	if (error != 0)
		madvise(view->host, view->length, MADV_DOFORK);
	return error;
}

static int add_held(struct lazymem_attachment *attachment, const struct lazymem_view *view)
{
	struct lm_lazy_region *region = NULL;
	int error = find_region(attachment, view, &region);

	if (error == 0)
		error = check_shape(region, view);
	if (error == 0)
		error = check_place(attachment, view);
	if (error == 0)
		error = make_room(region);
	if (error == 0)
		error = register_view(region, view);
	if (error != 0)
		return error;
	region->views[region->view_count] = (struct lm_view){
		.host = view->host,
		.length = view->length,
		.first = (size_t)(view->address.value - region->guest) >> region->page_shift,
		.is_private = (view->flags & LAZYMEM_VIEW_PRIVATE) != 0,
	};
	region->view_count++;
	if (atomic_load(&region->had_poison))
		region->lacks_poison = true;
	return 0;
}

int lazymem_attachment_add_view(struct lazymem_attachment *attachment,
				const struct lazymem_view *caller_view)
{
	struct lazymem_view view;
	int error;

	if (caller_view == NULL)
		return lm_error(-EINVAL, "no view is given");
	error = lm_options_copy(caller_view, &view, sizeof(view), "struct lazymem_view");
	if (error != 0)
		return error;
	pthread_rwlock_wrlock(&attachment->lock);
	error = add_held(attachment, &view);
	pthread_rwlock_unlock(&attachment->lock);
	return error;
}

/* ---- remove */

/* The part of a view before `at`, and the part from there on. */
static struct lm_view head_of(const struct lm_view *view, uint64_t at)
{
	struct lm_view head = *view;

	head.length = (size_t)(at - start_of(view));
	return head;
}

static struct lm_view tail_of(const struct lm_lazy_region *region, const struct lm_view *view,
			      uint64_t at)
{
	const size_t skip = (size_t)(at - start_of(view));
	struct lm_view tail = *view;

	tail.host += skip;
	tail.length -= skip;
	tail.first += skip >> region->page_shift;
	return tail;
}

/* Cut [start, end) out of view `index`; there is room for one view more. True
 * when nothing of it is left, and the next one has its index. */
static bool cut(struct lm_lazy_region *region, size_t index, uint64_t start, uint64_t end)
{
	const struct lm_view view = region->views[index];

	if (start <= start_of(&view) && end >= end_of(&view)) {
		region->view_count--;
		memmove(&region->views[index], &region->views[index + 1],
			(region->view_count - index) * sizeof(view));
		return true;
	}
	if (start > start_of(&view) && end < end_of(&view))
		region->views[region->view_count++] = tail_of(region, &view, end);
	region->views[index] =
		start > start_of(&view) ? head_of(&view, start) : tail_of(region, &view, end);
	return false;
}

/* At most one view of all can be cut in two: none overlaps another. */
static int make_room_to_cut(struct lazymem_attachment *attachment)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];
		const int error = region->view_count > 0 ? make_room(region) : 0;

		if (error != 0)
			return error;
	}
	return 0;
}

static bool is_in(const struct lm_view *view, uint64_t start, uint64_t end)
{
	return start < end_of(view) && end > start_of(view);
}

/* What goes of a view that is not private takes what it knows of writes along. */
static void keep_writes(struct lm_lazy_region *region, const struct lm_view *view, uint64_t start,
			uint64_t end)
{
	const uint64_t from = start > start_of(view) ? start : start_of(view);
	const size_t skip = (size_t)(from - start_of(view));
	const size_t length = (size_t)(lm_min(end, end_of(view)) - from);

	if (!view->is_private)
		lm_tracking_end_view(region, view->host + skip,
				     view->first + (skip >> region->page_shift),
				     length >> region->page_shift);
}

static void remove_from(struct lm_lazy_region *region, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < region->view_count;) {
		const bool in = is_in(&region->views[i], start, end);

		if (in)
			keep_writes(region, &region->views[i], start, end);
		if (!in || !cut(region, i, start, end))
			i++;
	}
}

/* A view is cut between two of its pages. */
static int check_cuts(const struct lazymem_attachment *attachment, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		const struct lm_lazy_region *region = &attachment->regions[i];

		for (size_t j = 0; j < region->view_count; j++) {
			const struct lm_view *view = &region->views[j];

			if (is_in(view, start, end) &&
			    ((start > start_of(view) && !lm_is_aligned(start, region->page_size)) ||
			     (end < end_of(view) && !lm_is_aligned(end, region->page_size))))
				return lm_error(-EINVAL,
						"host range [0x%" PRIx64 "+0x%" PRIx64
						"] would cut a page of view %p in two",
						start, end - start, view->host);
		}
	}
	return 0;
}

int lazymem_attachment_remove_view(struct lazymem_attachment *attachment, void *host, size_t length)
{
	const uint64_t start = (uintptr_t)host;
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t end, woken = lm_align_down(start, page_size);
	int error;

	if (!lm_add(start, length, &end) || !lm_align_up(end, page_size, &end))
		return lm_error(-EINVAL, "host range %p+0x%zx wraps", host, length);
	if (length == 0)
		return 0;
	pthread_rwlock_wrlock(&attachment->lock);
	error = check_cuts(attachment, start, end);
	if (error == 0)
		error = make_room_to_cut(attachment);
	for (size_t i = 0; error == 0 && i < attachment->region_count; i++)
		remove_from(&attachment->regions[i], start, end);
	pthread_rwlock_unlock(&attachment->lock);
	/* Who waits there for a page that is under way would never be woken. */
	if (error == 0)
		(void)lm_userfaultfd_wake(attachment->fd, (void *)(uintptr_t)woken,
					  (size_t)(end - woken));
	return error;
}

/* ---- let go */

void lm_view_note_remove(struct lazymem_attachment *attachment, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < attachment->region_count; i++) {
		struct lm_lazy_region *region = &attachment->regions[i];

		for (size_t j = 0; j < region->view_count; j++)
			if (is_in(&region->views[j], start, end))
				region->lacks_poison = true;
	}
}

bool lm_view_keep_poison(struct lm_lazy_region *region, size_t *page)
{
	const struct lm_page_map *map = &region->map;

	for (size_t i = 0; *page == 0 && i < region->view_count; i++)
		madvise(region->views[i].host, region->views[i].length, MADV_NOHUGEPAGE);
	while (region->lacks_poison && *page < map->count) {
		size_t run;

		*page = lm_page_map_next(map, *page, map->count, LM_PAGE_POISONED);
		run = lm_page_map_run(map, *page, map->count - *page, LM_PAGE_POISONED);
		if (run > 0 && lm_view_poison(region, *page, run) == -EAGAIN)
			return false;
		*page += run;
	}
	return true;
}

void lm_view_unregister_all(struct lm_lazy_region *region)
{
	for (size_t i = 0; i < region->view_count; i++)
		lm_userfaultfd_unregister(region->attachment->fd, region->views[i].host,
					  region->views[i].length);
	region->view_count = 0;
}
