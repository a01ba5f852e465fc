/* SPDX-License-Identifier: MIT
 *
 * dirty_pages.h - the pages that the guest writes: one in a hundred, scattered
 * over all of its memory, the same in every run and on every machine.
 */
#ifndef UFFDBENCH_DIRTY_PAGES_H
#define UFFDBENCH_DIRTY_PAGES_H

#include <lazymem/dirty.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dirty_range {
	uint64_t offset; /* bytes */
	uint64_t length;
};

struct dirty_pages {
	uint64_t *offsets; /* of each page, in the order of writing */
	size_t count;
	struct dirty_range *ranges; /* the same pages, ascending, neighbours together */
	size_t range_count;
};

/* One page of `memory` bytes in a hundred, in runs of `run` pages. -1 after a
 * message. */
int dirty_pages_create(uint64_t memory, size_t run, struct dirty_pages *ret_pages);
void dirty_pages_destroy(struct dirty_pages *pages);

/* Store into the first word of each page, in their order. What is stored follows
 * from the page and `stamp`. */
void dirty_pages_write(const struct dirty_pages *pages, void *memory, uint64_t stamp);

/* Is this what a page of the pattern holds after that? `written` false: it was
 * left alone. */
bool dirty_page_matches(uint64_t offset, const uint64_t *words, bool written, uint64_t stamp);

/* The first word of a page that was written with `stamp`. */
uint64_t dirty_page_word(uint64_t offset, uint64_t stamp);

/* How many pages of a set, of guest memory that begins at address 0, are not
 * those: too many or missing. */
uint64_t dirty_pages_differ(const struct dirty_pages *pages, const struct lazymem_dirty *dirty);

#endif
