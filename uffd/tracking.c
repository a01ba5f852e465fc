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
 * then, and its bytes are in memory before collect returns. The worker's two
 * steps (mark, allow) and those of collect exclude each other by the lock.
 *
 * A discard marks before the page is gone. One that is told in between is told
 * again: the mark stays while the page is there, and whoever zaps marks after
 * it once more.
 *
 * What the kernel tells of a page that is mapped is the truth whatever the page
 * map says: it may have been written before it was published. Of shared
 * memory, a page that is PRESENT and not mapped counts as written: its page
 * table entry, and what it knew, may be gone (reclaim, an madvise); so it is not
 * protected when it is mapped again. The worker may install pages between the
 * kernel's answer and the look at the page map: those are mapped by then, and protected. What was written through a view that goes
 * is marked. Poison counts as mapped for the kernel, and as nothing here. A zero page
 * of private memory cannot be installed protected; the kernel tells it from
 * one that was written.
 *
 * Through which mapping a page was written does not matter, so those of all
 * views but the private ones count.
 */
#include "uffd/tracking.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/memory.h"
#include "uffd/harvest.h"
#include "uffd/pagemap.h"
#include "uffd/slot.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

unsigned lm_tracking_protection(const struct lm_lazy_region *region, bool again)
{
	const bool known = !again || region->alias == NULL ||
			   region->attachment->tracking != LAZYMEM_TRACKING_KERNEL;

	return lm_tracking_protects(region) && known ? LM_PROTECT : 0;
}

/* ---- the mappings of a region */

/* Where a run of pages is mapped and may be written, in mapping `number` of the region; its
 * own is number 0. *ret_first is the page at the host address that is returned, *ret_pages
 * how many there are: 0 for none, or a private mapping. */
static char *part_in(const struct lm_lazy_region *region, size_t number, size_t page, size_t count,
		     size_t *ret_first, size_t *ret_pages)
{
	const struct lm_view *view;
	size_t end = page + count;

	if (number == 0) {
		*ret_first = page;
		*ret_pages = count;
		return lm_lazy_region_host(region, page);
	}
	view = &region->views[number - 1];
	if (page < view->first)
		page = view->first;
	end = (size_t)lm_min(end, view->first + (view->length >> region->page_shift));
	*ret_first = page;
	*ret_pages = page < end && !view->is_private ? end - page : 0;
	return *ret_pages > 0 ? view->host + ((page - view->first) << region->page_shift) : NULL;
}

/* Change the protection of a page wherever it is mapped. */
static int protect(const struct lm_lazy_region *region, size_t page, bool protect_it)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i <= region->view_count; i++) {
		size_t first, pages;
		char *host = part_in(region, i, page, 1, &first, &pages);

		if (pages > 0)
			error = lm_userfaultfd_protect(region->attachment->fd, host,
						       region->page_size, protect_it);
		if (error == -ENOENT) /* nothing is mapped there */
			error = 0;
	}
	return error;
}

int lm_tracking_allow(struct lm_lazy_region *region, size_t page)
{
	lm_tracking_mark(region, page);
	return protect(region, page, false);
}

/* ---- scan */

/* What is found in one mapping, and what is done about it. */
struct scan {
	struct lm_lazy_region *region;
	struct lazymem_dirty *dirty; /* NULL: mark */
	char *host;
	size_t first; /* the page there */
	int error;
};

static int tell(const struct lm_lazy_region *region, struct lazymem_dirty *dirty, size_t page,
		size_t count)
{
	const struct lazymem_guest_range range = {{lm_lazy_region_guest(region, page)},
						  (uint64_t)count << region->page_shift};

	return lazymem_dirty_add(dirty, range);
}

static int tell_or_mark(struct scan *scan, size_t page, size_t count)
{
	if (scan->dirty != NULL)
		return tell(scan->region, scan->dirty, page, count);
	for (size_t i = 0; i < count; i++)
		lm_tracking_mark(scan->region, page + i);
	return 0;
}

/* Of what is mapped, poison was written by nobody; of what is not, only what was there can
 * have been written. */
static bool counts(const struct lm_lazy_region *region, size_t page, bool mapped)
{
	const enum lm_page_state state = lm_page_map_get(&region->map, page);

	return mapped ? state != LM_PAGE_POISONED : state == LM_PAGE_PRESENT;
}

/* Base pages that are asked for at once. */
#define ASKED ((size_t)1024)

/* Pages that were not mapped, and are PRESENT: but for those that came since. */
static int tell_lost(struct scan *scan, size_t page, size_t count)
{
	const size_t page_size = scan->region->page_size;
	const size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	const size_t at_once = page_size == base_page ? ASKED : 1;
	unsigned char has_come[ASKED];
	int error = 0;

	for (size_t asked; error == 0 && count > 0; page += asked, count -= asked) {
		asked = (size_t)lm_min(count, at_once);
		if (lm_pagemap_protected(scan->host + (page - scan->first) * page_size,
					 asked * base_page, has_come) != 0)
			memset(has_come, 0, asked); /* nobody can tell */
		for (size_t i = 0; error == 0 && i < asked; i++)
			if (!has_come[i])
				error = tell_or_mark(scan, page + i, 1);
	}
	return error;
}

static int take_run(struct scan *scan, size_t page, size_t count, bool mapped)
{
	const struct lm_lazy_region *region = scan->region;
	const size_t end = page + count;
	int error = 0;

	if (mapped && !atomic_load(&region->had_poison))
		return tell_or_mark(scan, page, count);
	while (error == 0 && page < end) {
		size_t next = page;

		while (next < end && counts(region, next, mapped))
			next++;
		if (next > page)
			error = mapped ? tell_or_mark(scan, page, next - page)
				       : tell_lost(scan, page, next - page);
		for (page = next; page < end && !counts(region, page, mapped); page++)
			continue;
	}
	return error;
}

static void found(void *context, const char *host, size_t length, bool mapped)
{
	struct scan *scan = context;
	const unsigned shift = scan->region->page_shift;
	const int error = take_run(scan, scan->first + ((size_t)(host - scan->host) >> shift),
				   length >> shift, mapped);

	if (scan->error == 0)
		scan->error = error;
}

static int run_scan(struct scan *scan, size_t pages)
{
	const int error = lm_pagemap_collect(scan->host, pages << scan->region->page_shift,
					     scan->region->alias != NULL, found, scan);

	if (error != 0)
		return lm_error_errno(error, "cannot ask which pages were written");
	return scan->error;
}

void lm_tracking_end_view(struct lm_lazy_region *region, char *host, size_t page, size_t count)
{
	struct scan scan = {.region = region, .host = host, .first = page};

	if (region->attachment->tracking != LAZYMEM_TRACKING_KERNEL)
		return;
	if (run_scan(&scan, count) != 0) /* nobody can tell: it may be any that is there */
		(void)take_run(&scan, page, count, false);
}

/* ---- collect */

/* Pages whose marks are taken and that are scanned under the lock in one go: so
 * long may the worker have to wait until it can apply an event. */
#define CHUNK_WORDS ((size_t)512)

/* Every page that may have been touched: one that is being populated, or given
 * its zeros, may have been written already. */
static int tell_populated(const struct lm_lazy_region *region, struct lazymem_dirty *dirty)
{
	const struct lm_page_map *map = &region->map;
	size_t page = 0, end;
	int error = 0;

	for (; error == 0 && page < map->count; page = end) {
		page += lm_page_map_run(map, page, map->count - page, LM_PAGE_MISSING);
		end = lm_page_map_next(map, page, map->count, LM_PAGE_MISSING);
		if (page < end)
			error = tell(region, dirty, page, end - page);
	}
	return error;
}

/* Was the page marked as discarded, and is not gone yet? Who discards it marks first. */
static bool is_going(const struct lm_lazy_region *region, size_t page)
{
	unsigned char there = 0;

	return lm_page_map_get(&region->map, page) == LM_PAGE_DISCARDED &&
	       mincore(lm_lazy_region_host(region, page), 1, &there) == 0 && (there & 1) != 0;
}

/* Take the marks of one word, tell them, and protect their pages again. What
 * could not be done stays marked, and so does what has to be told again; without patience,
 * what cannot be protected now. */
static int take_word(struct lm_lazy_region *region, struct lazymem_dirty *dirty, size_t word,
		     bool patient)
{
	const bool protects = region->attachment->tracking == LAZYMEM_TRACKING_FAULTS;
	uint64_t marks = atomic_exchange(&region->written[word], 0), again = 0;
	int error = 0;

	while (error == 0 && marks != 0) {
		const unsigned bit = (unsigned)__builtin_ctzll(marks);
		const size_t page = word * WORD_BITS + bit;

		error = tell(region, dirty, page, 1);
		if (error == 0 && protects)
			error = protect(region, page, true);
		if (error != 0 && (error != -EAGAIN || patient))
			break;
		marks &= marks - 1;
		if (error == -EAGAIN || is_going(region, page))
			again |= UINT64_C(1) << bit;
		error = 0;
	}
	if ((marks | again) != 0)
		atomic_fetch_or(&region->written[word], marks | again);
	return error;
}

static bool has_marks(const struct lm_lazy_region *region, size_t word)
{
	return atomic_load(&region->written[word]) != 0;
}

/* How often one collect tries what the changing layout of the address space forbids. Threads
 * that discard without pause can keep it changing for as long as they like; in the end
 * pages stay marked, and are told by the next collect as well. */
#define PATIENCE 100u

/* The lock is exclusive, so that the worker cannot lift a protection between the
 * two steps. Who changes the layout is waited for without it: the worker has to
 * read his event meanwhile. */
static int take_word_alone(struct lm_lazy_region *region, struct lazymem_dirty *dirty, size_t word,
			   unsigned *patience)
{
	pthread_rwlock_t *lock = &region->attachment->lock;
	int error;

	do {
		pthread_rwlock_wrlock(lock);
		error = take_word(region, dirty, word, *patience > 0);
		pthread_rwlock_unlock(lock);
		*patience -= error == -EAGAIN;
	} while (error == -EAGAIN && sched_yield() == 0);
	return error != 0 ? lm_error_errno(error, "cannot protect pages again") : 0;
}

static int take_marks(struct lm_lazy_region *region, struct lazymem_dirty *dirty)
{
	unsigned patience = PATIENCE;
	int error = 0;

	for (size_t word = 0; error == 0 && word < word_count(region); word++)
		if (has_marks(region, word))
			error = take_word_alone(region, dirty, word, &patience);
	return error;
}

static int collect_chunk(struct lm_lazy_region *region, struct lazymem_dirty *dirty, size_t word)
{
	const size_t end = (size_t)lm_min(word + CHUNK_WORDS, word_count(region));
	const size_t page = word * WORD_BITS;
	const size_t count = (size_t)lm_min(end * WORD_BITS, region->map.count) - page;
	int error = 0;

	for (; error == 0 && word < end; word++)
		if (has_marks(region, word))
			error = take_word(region, dirty, word, true);
	for (size_t i = 0; error == 0 && i <= region->view_count; i++) {
		struct scan scan = {.region = region, .dirty = dirty};
		size_t pages;

		scan.host = part_in(region, i, page, count, &scan.first, &pages);
		if (pages > 0)
			error = run_scan(&scan, pages);
	}
	return error;
}

/* A view that leaves between two chunks leaves marks. */
static int collect_chunks(struct lm_lazy_region *region, struct lazymem_dirty *dirty)
{
	pthread_rwlock_t *lock = &region->attachment->lock;
	int error = 0;

	for (size_t word = 0; error == 0 && word < word_count(region); word += CHUNK_WORDS) {
		pthread_rwlock_rdlock(lock);
		error = collect_chunk(region, dirty, word);
		pthread_rwlock_unlock(lock);
	}
	return error;
}

static int collect_region(struct lm_lazy_region *region, struct lazymem_dirty *dirty)
{
	int error;

	if (region->attachment->tracking == LAZYMEM_TRACKING_KERNEL)
		return collect_chunks(region, dirty);
	error = take_marks(region, dirty);
	if (error == 0 && region->attachment->tracking == LAZYMEM_TRACKING_POPULATED)
		error = tell_populated(region, dirty);
	return error;
}

void lm_tracking_settle(struct lazymem_attachment *attachment)
{
	/* An madvise that has returned is an event that was read, and may not be applied yet. */
	pthread_mutex_lock(&attachment->reading);
	pthread_mutex_unlock(&attachment->reading);
	pthread_rwlock_wrlock(&attachment->lock);
	pthread_rwlock_unlock(&attachment->lock);
}

int lm_tracking_collect(struct lazymem_attachment *attachment, struct lazymem_dirty *dirty)
{
	int error = 0;

	lm_tracking_settle(attachment); /* lest poison is taken for something written */
	for (size_t i = 0; error == 0 && i < attachment->region_count; i++)
		error = collect_region(&attachment->regions[i], dirty);
	return error;
}

int lazymem_attachment_collect(struct lazymem_attachment *attachment, struct lazymem_dirty *dirty)
{
	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot collect");
	if (attachment->tracking == LAZYMEM_TRACKING_NONE)
		return lm_error(-EINVAL, "the attachment was made without LAZYMEM_ATTACH_TRACK");
	if (!lm_dirty_fits(dirty, attachment->memory))
		return lm_error(-EINVAL, "the dirty set is of guest memory of different regions");
	return lm_harvest_take(attachment, LM_ASKER_COLLECT, dirty);
}

enum lazymem_tracking lazymem_attachment_tracking(const struct lazymem_attachment *attachment)
{
	return attachment->tracking;
}
