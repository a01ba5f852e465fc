/* SPDX-License-Identifier: MIT
 *
 * A dirty set: one bitmap for each region, a bit a page.
 *
 * The shape (regions, page sizes) is that of a guest memory, which is kept;
 * since guest memory never changes, neither does the shape. Bits beyond the
 * last page of a region are never set, so words can be counted and merged whole.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"
#include "core/memory.h"

#include <errno.h>
#include <lazymem/dirty.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64u

struct bits {
	uint64_t *words;
	size_t word_count;
	size_t pages;
	unsigned page_shift;
};

struct lazymem_dirty {
	struct lazymem_memory *memory;
	struct bits regions[]; /* of each region of the memory, in its order */
};

static int create_bits(const struct lazymem_region *region, struct bits *bits)
{
	bits->page_shift = (unsigned)__builtin_ctzl(region->mapping->page_size);
	bits->pages = (size_t)(region->length >> bits->page_shift);
	bits->word_count = (bits->pages + WORD_BITS - 1) / WORD_BITS;
	bits->words = calloc(bits->word_count, sizeof(*bits->words));
	return bits->words != NULL
		       ? 0
		       : lm_error(-ENOMEM, "no memory for a dirty set of %zu pages", bits->pages);
}

int lazymem_dirty_create(struct lazymem_memory *memory, struct lazymem_dirty **ret_dirty)
{
	const size_t size = sizeof(struct lazymem_dirty) + memory->count * sizeof(struct bits);
	struct lazymem_dirty *dirty = calloc(1, size);
	int error = 0;

	if (dirty == NULL)
		return lm_error(-ENOMEM, "no memory for a dirty set");
	dirty->memory = lazymem_memory_ref(memory);
	for (size_t i = 0; error == 0 && i < memory->count; i++)
		error = create_bits(memory->regions[i], &dirty->regions[i]);
	if (error != 0) {
		lazymem_dirty_destroy(dirty);
		return error;
	}
	*ret_dirty = dirty;
	return 0;
}

void lazymem_dirty_destroy(struct lazymem_dirty *dirty)
{
	if (dirty == NULL)
		return;
	for (size_t i = 0; i < dirty->memory->count; i++)
		free(dirty->regions[i].words);
	lazymem_memory_unref(dirty->memory);
	free(dirty);
}

/* ---- runs of bits */

/* The bits of word `word` that lie in [page, page + count). */
static uint64_t mask_in(size_t word, size_t page, size_t count)
{
	const size_t first = word * WORD_BITS, end = page + count;
	uint64_t mask = ~UINT64_C(0);

	if (page > first)
		mask <<= page - first;
	if (end < first + WORD_BITS)
		mask &= ~UINT64_C(0) >> (first + WORD_BITS - end);
	return mask;
}

static void set_run(struct bits *bits, size_t page, size_t count, bool value)
{
	for (size_t word = page / WORD_BITS; word * WORD_BITS < page + count; word++) {
		if (value)
			bits->words[word] |= mask_in(word, page, count);
		else
			bits->words[word] &= ~mask_in(word, page, count);
	}
}

/* The first page at or after `page` whose bit is `value`; the number of pages if none. */
static size_t next_page(const struct bits *bits, size_t page, bool value)
{
	for (size_t word = page / WORD_BITS; word < bits->word_count; word++) {
		uint64_t left = value ? bits->words[word] : ~bits->words[word];

		left &= mask_in(word, page, bits->pages - page);
		if (left != 0)
			return word * WORD_BITS + (size_t)__builtin_ctzll(left);
	}
	return bits->pages;
}

/* ---- by guest address */

static int set_range(struct lazymem_dirty *dirty, struct lazymem_guest_range range, bool value)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	int error = lm_walk_begin(dirty->memory, range.start, range.length, 0, &walk);

	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece)) {
		struct bits *bits = &dirty->regions[piece.index];
		const size_t first = piece.offset >> bits->page_shift;
		const size_t last = (piece.offset + piece.length - 1) >> bits->page_shift;

		set_run(bits, first, last - first + 1, value);
	}
	return 0;
}

int lazymem_dirty_add(struct lazymem_dirty *dirty, struct lazymem_guest_range range)
{
	return set_range(dirty, range, true);
}

int lazymem_dirty_remove(struct lazymem_dirty *dirty, struct lazymem_guest_range range)
{
	return set_range(dirty, range, false);
}

bool lm_dirty_fits(const struct lazymem_dirty *dirty, const struct lazymem_memory *memory)
{
	if (dirty->memory->count != memory->count)
		return false;
	for (size_t i = 0; i < memory->count; i++) {
		const struct lazymem_region *x = dirty->memory->regions[i], *y = memory->regions[i];

		if (x->base.value != y->base.value || x->length != y->length ||
		    x->mapping->page_size != y->mapping->page_size)
			return false;
	}
	return true;
}

int lazymem_dirty_merge(struct lazymem_dirty *dirty, const struct lazymem_dirty *other)
{
	if (!lm_dirty_fits(dirty, other->memory))
		return lm_error(-EINVAL, "the dirty sets are of guest memory of different regions");
	for (size_t i = 0; i < dirty->memory->count; i++)
		for (size_t word = 0; word < dirty->regions[i].word_count; word++)
			dirty->regions[i].words[word] |= other->regions[i].words[word];
	return 0;
}

void lazymem_dirty_clear(struct lazymem_dirty *dirty)
{
	for (size_t i = 0; i < dirty->memory->count; i++)
		memset(dirty->regions[i].words, 0, dirty->regions[i].word_count * sizeof(uint64_t));
}

uint64_t lazymem_dirty_length(const struct lazymem_dirty *dirty)
{
	uint64_t length = 0;

	for (size_t i = 0; i < dirty->memory->count; i++) {
		const struct bits *bits = &dirty->regions[i];
		uint64_t pages = 0;

		for (size_t word = 0; word < bits->word_count; word++)
			pages += (uint64_t)__builtin_popcountll(bits->words[word]);
		length += pages << bits->page_shift;
	}
	return length;
}

bool lazymem_dirty_test(const struct lazymem_dirty *dirty, lazymem_guest_address address)
{
	for (size_t i = 0; i < dirty->memory->count; i++) {
		const struct lazymem_region *region = dirty->memory->regions[i];
		const struct bits *bits = &dirty->regions[i];
		const uint64_t offset = address.value - region->base.value;
		const size_t page = (size_t)(offset >> bits->page_shift);

		if (address.value >= region->base.value && offset < region->length)
			return (bits->words[page / WORD_BITS] >> page % WORD_BITS & 1u) != 0;
	}
	return false;
}

/* The first dirty range of region `index` from guest address `from` on. */
static bool next_in(const struct lazymem_dirty *dirty, size_t index, uint64_t from,
		    struct lazymem_guest_range *ret_range)
{
	const struct bits *bits = &dirty->regions[index];
	const uint64_t base = dirty->memory->regions[index]->base.value;
	const uint64_t offset = from > base ? from - base : 0;
	size_t page, end;

	if (offset >= dirty->memory->regions[index]->length)
		return false;
	page = next_page(bits, (size_t)(offset >> bits->page_shift), true);
	if (page == bits->pages)
		return false;
	end = next_page(bits, page, false);
	ret_range->start.value = base + ((uint64_t)page << bits->page_shift);
	ret_range->length = (uint64_t)(end - page) << bits->page_shift;
	if (ret_range->start.value < from) {
		ret_range->length -= from - ret_range->start.value;
		ret_range->start.value = from;
	}
	return true;
}

int lazymem_dirty_next(const struct lazymem_dirty *dirty, lazymem_guest_address from,
		       struct lazymem_guest_range *ret_range)
{
	for (size_t i = 0; i < dirty->memory->count; i++)
		if (next_in(dirty, i, from.value, ret_range))
			return 0;
	return lm_error(-ENOENT, "nothing is dirty at or after guest address 0x%" PRIx64,
			from.value);
}
