/* SPDX-License-Identifier: MIT
 *
 * block_map.c - a bit for each block.
 *
 * A write-back sets thousands of bits at scattered places, and a fault asks for
 * one: so there is no sorted array to insert into, no lock and no allocation
 * after the beginning. A terabyte costs 32 MiB. A block that is data in part is
 * data.
 *
 * For a write and a discard of the same block at the same time, the bit must not
 * end up clear over a block with data. A discard clears the bits before the
 * bytes, and a write sets them after the bytes: if the clearing came last, so did
 * the zeros.
 */
#include "backing/block_map.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <stdlib.h>

#define WORD_BITS 64

/* Words that one question looks at: 64 MiB. */
#define SCAN_LIMIT 256

static uint64_t count_blocks(uint64_t length)
{
	return length / LM_BLOCK_SIZE + (length % LM_BLOCK_SIZE != 0);
}

/* The bits of word `word` that are blocks of [first, end). */
static uint64_t bits_of(uint64_t word, uint64_t first, uint64_t end)
{
	const uint64_t start = word * WORD_BITS;
	uint64_t bits = UINT64_MAX;

	if (first > start)
		bits &= UINT64_MAX << (first - start);
	if (end - start < WORD_BITS)
		bits &= (UINT64_C(1) << (end - start)) - 1;
	return bits;
}

int lm_block_map_create(struct lm_block_map *map, const struct lm_extent_map *extents)
{
	const uint64_t words = count_blocks(extents->length) / WORD_BITS + 1;

	map->length = extents->length;
	map->words = calloc(words, sizeof(*map->words));
	if (map->words == NULL)
		return lm_error(-ENOMEM, "no memory for a map of %llu blocks",
				(unsigned long long)count_blocks(extents->length));
	for (size_t i = 0; i < extents->count; i++)
		lm_block_map_mark(map, extents->data[i].start, extents->data[i].length);
	return 0;
}

void lm_block_map_destroy(struct lm_block_map *map)
{
	free(map->words);
	map->words = NULL;
}

void lm_block_map_mark(struct lm_block_map *map, uint64_t offset, uint64_t length)
{
	const uint64_t first = offset / LM_BLOCK_SIZE;
	const uint64_t end = (offset + length - 1) / LM_BLOCK_SIZE + 1;

	for (uint64_t word = first / WORD_BITS; word * WORD_BITS < end; word++)
		atomic_fetch_or(&map->words[word], bits_of(word, first, end));
}

void lm_block_map_clear(struct lm_block_map *map, uint64_t offset, uint64_t length)
{
	const uint64_t first = count_blocks(offset);
	const uint64_t end = offset + length == map->length ? count_blocks(map->length)
							    : (offset + length) / LM_BLOCK_SIZE;

	for (uint64_t word = first / WORD_BITS; first < end && word * WORD_BITS < end; word++)
		atomic_fetch_and(&map->words[word], ~bits_of(word, first, end));
}

/* The first block from `block` on that is not as `bits` says of it: all ones for
 * data, zero for none. Not looked for at or past `end`, nor for ever. */
static uint64_t find_change(const struct lm_block_map *map, uint64_t block, uint64_t end,
			    uint64_t bits)
{
	uint64_t word = block / WORD_BITS;
	const uint64_t last = lm_min(word + SCAN_LIMIT, (end - 1) / WORD_BITS);

	for (; word <= last; word++) {
		const uint64_t changed =
			(atomic_load_explicit(&map->words[word], memory_order_relaxed) ^ bits) &
			bits_of(word, block, end);

		if (changed != 0)
			return word * WORD_BITS + (uint64_t)__builtin_ctzll(changed);
	}
	return lm_min(word * WORD_BITS, end);
}

void lm_block_map_find(const struct lm_block_map *map, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent)
{
	const uint64_t block = offset / LM_BLOCK_SIZE;
	const uint64_t word =
		atomic_load_explicit(&map->words[block / WORD_BITS], memory_order_relaxed);
	const bool is_data = (word >> (block % WORD_BITS) & 1) != 0;
	const uint64_t end = (offset + length - 1) / LM_BLOCK_SIZE + 1;
	const uint64_t change = find_change(map, block + 1, end, is_data ? UINT64_MAX : 0);

	ret_extent->start = offset;
	ret_extent->kind = is_data ? LAZYMEM_EXTENT_DATA : LAZYMEM_EXTENT_ZERO;
	ret_extent->length = lm_min(length, change * LM_BLOCK_SIZE - offset);
}
