/* SPDX-License-Identifier: MIT
 *
 * page_map.h - one atomic byte per page of a lazily filled region.
 *
 *              claim            publish
 *   MISSING ----------> CLAIMED --------> PRESENT
 *      ^                 |  |  poison                 publish (as zeros)
 *      |     release     |  +--------> POISONED      DISCARDED ---------> PRESENT
 *      +-----------------+                |  claim        ^
 *                                         +------> CLAIMED |
 *   any state ---- discard ---------------------------------+
 *
 * A claim is revocable: a discard takes the page from whoever claimed it, and
 * publish and release then refuse. Only MISSING and POISONED pages can be
 * claimed, and DISCARDED never leads back to them, so a claim that is still
 * there is still the claimer's own (no ABA).
 *
 * Every call is one atomic step per page. Callers hold the attachment's lock:
 * shared around {claim still there, populate, publish}, exclusive around
 * {discard, zap}.
 */
#ifndef LM_PAGE_MAP_H
#define LM_PAGE_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum lm_page_state {
	LM_PAGE_MISSING = 0,
	LM_PAGE_CLAIMED = 1,
	LM_PAGE_PRESENT = 2,
	LM_PAGE_DISCARDED = 3,
	LM_PAGE_POISONED = 4,
};

struct lm_page_map {
	_Atomic uint8_t *pages;
	size_t count;
};

/* All MISSING. The bytes come from mmap, so a large map costs only what is touched. */
int lm_page_map_create(size_t count, struct lm_page_map *ret_map);
void lm_page_map_destroy(struct lm_page_map *map);

enum lm_page_state lm_page_map_get(const struct lm_page_map *map, size_t page);

/* MISSING -> CLAIMED for as many pages from `page` on as are MISSING, at most
 * `limit`. Returns how many were claimed. */
size_t lm_page_map_claim(struct lm_page_map *map, size_t page, size_t limit);

/* POISONED -> CLAIMED, likewise: to heal. */
size_t lm_page_map_claim_poisoned(struct lm_page_map *map, size_t page, size_t limit);

/* CLAIMED -> PRESENT, POISONED or (release) MISSING. False when the claim is gone. */
bool lm_page_map_publish(struct lm_page_map *map, size_t page);
bool lm_page_map_poison(struct lm_page_map *map, size_t page);
bool lm_page_map_release(struct lm_page_map *map, size_t page);

/* DISCARDED -> PRESENT, after zeros were installed. False when it is not DISCARDED. */
bool lm_page_map_publish_zero(struct lm_page_map *map, size_t page);

/* Any state -> DISCARDED for `length` pages. */
void lm_page_map_discard(struct lm_page_map *map, size_t page, size_t length);

/* DISCARDED -> what it was before: the discard did not happen after all. False
 * when it is not DISCARDED any more. CLAIMED only for a claimer who has not
 * looked since: else a second one's claim could be taken for his (ABA). */
bool lm_page_map_undo_discard(struct lm_page_map *map, size_t page, enum lm_page_state before);

/* How many pages from `page` on are in `state`, at most `limit`. */
size_t lm_page_map_run(const struct lm_page_map *map, size_t page, size_t limit,
		       enum lm_page_state state);

/* How many pages right before `page` are in `state`, at most `limit`. */
size_t lm_page_map_run_before(const struct lm_page_map *map, size_t page, size_t limit,
			      enum lm_page_state state);

/* The first page at or after `page`, below `end`, in `state`; `end` if none. */
size_t lm_page_map_next(const struct lm_page_map *map, size_t page, size_t end,
			enum lm_page_state state);

#endif
