/* SPDX-License-Identifier: MIT
 *
 * page_map.c - the state of every page of a lazily filled region.
 *
 * Each page is one atomic byte, each step of the diagram in page_map.h one
 * compare-and-exchange of it, so no step is ever seen half done and of two
 * threads that try for the same page exactly one gets it.
 *
 * A step releases what its thread wrote before it, and whoever sees the new
 * state acquires that: a thread that reads PRESENT also sees the page.
 * What has to hold across several steps, or across a step and a system call,
 * is under the attachment's lock and not decided here.
 *
 * Invariant: no byte is above LM_PAGE_POISONED.
 */
#include "core/page_map.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

int lm_page_map_create(size_t count, struct lm_page_map *ret_map)
{
	void *pages;

	if (count == 0)
		return lm_error(-EINVAL, "a page map of no pages");
	/* Shared, though nobody shares it: private memory that is read before it is
	 * written has the zero page first, and the write that replaces it interrupts
	 * every CPU on which a thread of the process runs. */
	pages = mmap(NULL, count, PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pages == MAP_FAILED)
		return lm_error_errno(-errno, "a page map of %zu pages", count);
	(void)madvise(pages, count, MADV_DONTFORK); /* a child serves no faults */
	ret_map->pages = pages;
	ret_map->count = count;
	return 0;
}

void lm_page_map_destroy(struct lm_page_map *map)
{
	if (map->pages)
		munmap((void *)map->pages, map->count);
	map->pages = NULL;
	map->count = 0;
}

enum lm_page_state lm_page_map_get(const struct lm_page_map *map, size_t page)
{
	uint8_t state;

	assert(page < map->count);
	state = atomic_load_explicit(&map->pages[page], memory_order_acquire);
	assert(state <= LM_PAGE_POISONED);
	return (enum lm_page_state)state;
}

static bool step(struct lm_page_map *map, size_t page, enum lm_page_state from,
		 enum lm_page_state to)
{
	uint8_t expected = (uint8_t)from;

	assert(page < map->count);
	return atomic_compare_exchange_strong_explicit(&map->pages[page], &expected, (uint8_t)to,
						       memory_order_acq_rel, memory_order_acquire);
}

/* The end of at most `limit` pages from `page` on, inside the map. */
static size_t run_end(const struct lm_page_map *map, size_t page, size_t limit)
{
	assert(page <= map->count);
	return page + lm_min(limit, map->count - page);
}

static size_t claim(struct lm_page_map *map, size_t page, size_t limit, enum lm_page_state from)
{
	const size_t end = run_end(map, page, limit);
	size_t next = page;

	while (next < end && step(map, next, from, LM_PAGE_CLAIMED))
		next++;
	return next - page;
}

size_t lm_page_map_claim(struct lm_page_map *map, size_t page, size_t limit)
{
	return claim(map, page, limit, LM_PAGE_MISSING);
}

size_t lm_page_map_claim_poisoned(struct lm_page_map *map, size_t page, size_t limit)
{
	return claim(map, page, limit, LM_PAGE_POISONED);
}

bool lm_page_map_publish(struct lm_page_map *map, size_t page)
{
	return step(map, page, LM_PAGE_CLAIMED, LM_PAGE_PRESENT);
}

bool lm_page_map_poison(struct lm_page_map *map, size_t page)
{
	return step(map, page, LM_PAGE_CLAIMED, LM_PAGE_POISONED);
}

bool lm_page_map_release(struct lm_page_map *map, size_t page)
{
	return step(map, page, LM_PAGE_CLAIMED, LM_PAGE_MISSING);
}

bool lm_page_map_publish_zero(struct lm_page_map *map, size_t page)
{
	return step(map, page, LM_PAGE_DISCARDED, LM_PAGE_PRESENT);
}

bool lm_page_map_undo_discard(struct lm_page_map *map, size_t page, enum lm_page_state before)
{
	return step(map, page, LM_PAGE_DISCARDED, before);
}

void lm_page_map_discard(struct lm_page_map *map, size_t page, size_t length)
{
	assert(lm_fits(page, length, map->count));
	for (size_t i = page; i < page + length; i++)
		atomic_store_explicit(&map->pages[i], LM_PAGE_DISCARDED, memory_order_release);
}

size_t lm_page_map_run(const struct lm_page_map *map, size_t page, size_t limit,
		       enum lm_page_state state)
{
	const size_t end = run_end(map, page, limit);
	size_t next = page;

	while (next < end && lm_page_map_get(map, next) == state)
		next++;
	return next - page;
}

size_t lm_page_map_run_before(const struct lm_page_map *map, size_t page, size_t limit,
			      enum lm_page_state state)
{
	size_t count = 0;

	while (count < limit && count < page && lm_page_map_get(map, page - count - 1) == state)
		count++;
	return count;
}

size_t lm_page_map_next(const struct lm_page_map *map, size_t page, size_t end,
			enum lm_page_state state)
{
	assert(end <= map->count);
	while (page < end && lm_page_map_get(map, page) != state)
		page++;
	return page < end ? page : end;
}
