/* SPDX-License-Identifier: MIT
 *
 * Memory is cut into stretches of a hundred runs, and one run of each is taken,
 * at random. So the pages are scattered evenly, and none is taken twice.
 */
#include "dirty_pages.h"
#include "complain.h"
#include "pattern.h"
#include "random.h"

#include <stdlib.h>

#define SEED 0x6469727479ull
#define STRETCH 100u

static void add_run(struct dirty_pages *pages, uint64_t offset, size_t run)
{
	struct dirty_range *last =
		pages->range_count > 0 ? &pages->ranges[pages->range_count - 1] : NULL;

	for (size_t i = 0; i < run; i++)
		pages->offsets[pages->count++] = offset + i * PAGE_BYTES;
	if (last != NULL && last->offset + last->length == offset)
		last->length += run * PAGE_BYTES;
	else
		pages->ranges[pages->range_count++] =
			(struct dirty_range){offset, run * PAGE_BYTES};
}

static void shuffle(struct dirty_pages *pages, struct random *random)
{
	for (size_t i = pages->count; i > 1; i--) {
		size_t j = random_below(random, i);
		uint64_t offset = pages->offsets[j];

		pages->offsets[j] = pages->offsets[i - 1];
		pages->offsets[i - 1] = offset;
	}
}

int dirty_pages_create(uint64_t memory, size_t run, struct dirty_pages *ret_pages)
{
	const uint64_t stretch = (uint64_t)STRETCH * run * PAGE_BYTES;
	const size_t runs = (size_t)(memory / stretch);
	struct random random = {SEED};
	struct dirty_pages pages = {
		.offsets = calloc(runs * run + 1, sizeof(*pages.offsets)),
		.ranges = calloc(runs + 1, sizeof(*pages.ranges)),
	};

	if (pages.offsets == NULL || pages.ranges == NULL) {
		complain("no memory for a list of %zu pages", runs * run);
		dirty_pages_destroy(&pages);
		return -1;
	}
	for (size_t i = 0; i < runs; i++)
		add_run(&pages, i * stretch + random_below(&random, STRETCH) * run * PAGE_BYTES,
			run);
	shuffle(&pages, &random);
	*ret_pages = pages;
	return 0;
}

void dirty_pages_destroy(struct dirty_pages *pages)
{
	free(pages->offsets);
	free(pages->ranges);
	*pages = (struct dirty_pages){0};
}

uint64_t dirty_page_word(uint64_t offset, uint64_t stamp)
{
	return random_mix(offset + stamp);
}

void dirty_pages_write(const struct dirty_pages *pages, void *memory, uint64_t stamp)
{
	for (size_t i = 0; i < pages->count; i++) {
		const uint64_t offset = pages->offsets[i];

		*(volatile uint64_t *)((char *)memory + offset) = dirty_page_word(offset, stamp);
	}
}

bool dirty_page_matches(uint64_t offset, const uint64_t *words, bool written, uint64_t stamp)
{
	uint64_t expected[PAGE_WORDS];
	uint64_t difference = 0;

	pattern_fill(PATTERN_DATA, offset, expected);
	if (written)
		expected[0] = dirty_page_word(offset, stamp);
	for (size_t i = 0; i < PAGE_WORDS; i++)
		difference |= words[i] ^ expected[i];
	return difference == 0;
}

uint64_t dirty_pages_differ(const struct dirty_pages *pages, const struct lazymem_dirty *dirty)
{
	const uint64_t told = lazymem_dirty_length(dirty) / PAGE_BYTES;
	uint64_t hits = 0;

	for (size_t i = 0; i < pages->count; i++)
		hits += lazymem_dirty_test(dirty, (lazymem_guest_address){pages->offsets[i]});
	return pages->count - hits + told - hits;
}
