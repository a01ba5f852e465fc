/* SPDX-License-Identifier: MIT
 *
 * overlay_map.c - two bits a block, in three copies.
 *
 *   words    what reads go by. A block becomes DATA when all of it is in the file
 *            (in its cache), ZERO when it is discarded, at any time.
 *   staged   sectors for the file. They are copied before the data is flushed and
 *            written after it, so the file never says DATA of what it does not have.
 *   durable  what the file is sure to say. A flush that failed may have lost data,
 *            so the words go back to this: the blocks are as before, and not holes.
 *
 * A sector is marked CHANGED when a word of it is set to something new, and STAGED
 * from stage until settle or revert. One that revert has found STAGED may be in the
 * file or not: it stays CHANGED, so that the next flush writes it in any case.
 *
 * Words are changed under a lock, and read without one. A copy has 64 KiB for each GiB,
 * of which only what is not zero is ever touched.
 */
#include "backing/overlay_map.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/little_endian.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHANGED 1u
#define STAGED 2u

#define EVEN_BITS UINT64_C(0x5555555555555555)

/* Words that one question looks at: 32 MiB. */
#define SCAN_LIMIT 256

int lm_overlay_map_create(const struct lm_overlay_header *header, bool is_writable,
			  struct lm_overlay_map *map)
{
	const uint64_t sectors = lm_overlay_sectors(header->length);
	const uint64_t words = sectors * LM_OVERLAY_SECTOR_WORDS;

	*map = (struct lm_overlay_map){
		.header = *header, .blocks = lm_overlay_blocks(header->length), .sectors = sectors};
	map->words = calloc(words, sizeof(*map->words));
	if (is_writable) {
		map->durable = calloc(words, sizeof(*map->durable));
		map->staged = calloc(sectors, LM_OVERLAY_SECTOR);
		map->marks = calloc(sectors, 1);
	}
	if (map->words != NULL &&
	    (!is_writable || (map->durable != NULL && map->staged != NULL && map->marks != NULL)))
		return 0;
	lm_overlay_map_destroy(map);
	return lm_error(-ENOMEM, "no memory for a map of %" PRIu64 " blocks", map->blocks);
}

void lm_overlay_map_destroy(struct lm_overlay_map *map)
{
	free(map->words);
	free(map->durable);
	free(map->staged);
	free(map->marks);
	map->words = NULL;
	map->durable = NULL;
	map->staged = NULL;
	map->marks = NULL;
}

static uint64_t load_word(const struct lm_overlay_map *map, uint64_t word)
{
	return atomic_load_explicit(&map->words[word], memory_order_acquire);
}

/* Blocks of a word that are not BASE. */
static uint64_t overlaid_in(uint64_t word)
{
	return (uint64_t)__builtin_popcountll((word | word >> 1) & EVEN_BITS);
}

static void store_word(struct lm_overlay_map *map, uint64_t word, uint64_t value)
{
	const uint64_t before = overlaid_in(load_word(map, word));

	atomic_fetch_add(&map->overlaid, overlaid_in(value) - before);
	atomic_store_explicit(&map->words[word], value, memory_order_release);
}

void lm_overlay_map_load(struct lm_overlay_map *map, uint64_t number, const uint64_t *words)
{
	const uint64_t first = number * LM_OVERLAY_SECTOR_WORDS;

	for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++) {
		if (words[i] == 0)
			continue;
		store_word(map, first + i, words[i]);
		if (map->durable != NULL)
			map->durable[first + i] = words[i];
	}
}

/* ---- questions ------------------------------------------------------------ */

enum lm_overlay_state lm_overlay_map_get(const struct lm_overlay_map *map, uint64_t block)
{
	const uint64_t word = load_word(map, block / LM_OVERLAY_WORD_BLOCKS);

	return (enum lm_overlay_state)(word >> (2 * (block % LM_OVERLAY_WORD_BLOCKS)) & 3);
}

/* The first block after `block` whose state is another one. Not looked for at or past
 * `end`, nor for ever. */
static uint64_t find_change(const struct lm_overlay_map *map, uint64_t block, uint64_t end,
			    enum lm_overlay_state state)
{
	const uint64_t pattern = EVEN_BITS * state;
	const uint64_t first = block / LM_OVERLAY_WORD_BLOCKS;
	const uint64_t last = lm_min(first + SCAN_LIMIT, (end - 1) / LM_OVERLAY_WORD_BLOCKS);
	uint64_t beyond = UINT64_MAX << (2 * (block % LM_OVERLAY_WORD_BLOCKS));

	for (uint64_t word = first; word <= last; word++) {
		const uint64_t other = (load_word(map, word) ^ pattern) & beyond;

		if (other != 0)
			return lm_min(word * LM_OVERLAY_WORD_BLOCKS +
					      (uint64_t)__builtin_ctzll(other) / 2,
				      end);
		beyond = UINT64_MAX;
	}
	return lm_min((last + 1) * LM_OVERLAY_WORD_BLOCKS, end);
}

uint64_t lm_overlay_map_run(const struct lm_overlay_map *map, uint64_t offset, uint64_t length,
			    enum lm_overlay_state *ret_state)
{
	const uint64_t block = offset / LM_OVERLAY_BLOCK;
	const uint64_t end = (offset + length - 1) / LM_OVERLAY_BLOCK + 1;
	const enum lm_overlay_state state = lm_overlay_map_get(map, block);
	uint64_t change = block + 1;

	if (change < end)
		change = find_change(map, change, end, state);
	*ret_state = state;
	return lm_min(length, change * LM_OVERLAY_BLOCK - offset);
}

uint64_t lm_overlay_map_count(const struct lm_overlay_map *map, enum lm_overlay_state state)
{
	const uint64_t words = map->sectors * LM_OVERLAY_SECTOR_WORDS;
	uint64_t others = 0;

	for (uint64_t word = 0; word < words; word++)
		others += overlaid_in(load_word(map, word) ^ EVEN_BITS * state);
	return words * LM_OVERLAY_WORD_BLOCKS - others;
}

/* ---- changes -------------------------------------------------------------- */

/* The bits of a word that are blocks of [first, end). */
static uint64_t bits_of(uint64_t word, uint64_t first, uint64_t end)
{
	const uint64_t start = word * LM_OVERLAY_WORD_BLOCKS;
	uint64_t bits = UINT64_MAX;

	if (first > start)
		bits &= UINT64_MAX << (2 * (first - start));
	if (end - start < LM_OVERLAY_WORD_BLOCKS)
		bits &= (UINT64_C(1) << (2 * (end - start))) - 1;
	return bits;
}

void lm_overlay_map_set(struct lm_overlay_map *map, uint64_t first, uint64_t count,
			enum lm_overlay_state state)
{
	const uint64_t end = first + count;

	for (uint64_t word = first / LM_OVERLAY_WORD_BLOCKS; word * LM_OVERLAY_WORD_BLOCKS < end;
	     word++) {
		const uint64_t bits = bits_of(word, first, end);
		const uint64_t before = load_word(map, word);
		const uint64_t after = (before & ~bits) | (EVEN_BITS * state & bits);

		if (after == before)
			continue;
		store_word(map, word, after);
		map->marks[word / LM_OVERLAY_SECTOR_WORDS] |= CHANGED;
	}
}

bool lm_overlay_map_stage(struct lm_overlay_map *map)
{
	bool any = false;

	for (uint64_t sector = 0; sector < map->sectors; sector++) {
		uint64_t words[LM_OVERLAY_SECTOR_WORDS];

		if ((map->marks[sector] & CHANGED) == 0)
			continue;
		for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++)
			words[i] = load_word(map, sector * LM_OVERLAY_SECTOR_WORDS + i);
		lm_overlay_put_sector(&map->header, sector, words,
				      map->staged + sector * LM_OVERLAY_SECTOR);
		map->marks[sector] = STAGED;
		any = true;
	}
	return any;
}

bool lm_overlay_map_staged(const struct lm_overlay_map *map, uint64_t number, uint64_t *ret_first,
			   uint64_t *ret_count)
{
	uint64_t first = number, end;

	while (first < map->sectors && (map->marks[first] & STAGED) == 0)
		first++;
	for (end = first; end < map->sectors && (map->marks[end] & STAGED) != 0;)
		end++;
	*ret_first = first;
	*ret_count = end - first;
	return end != first;
}

void lm_overlay_map_settle(struct lm_overlay_map *map)
{
	for (uint64_t sector = 0; sector < map->sectors; sector++) {
		const unsigned char *from = map->staged + sector * LM_OVERLAY_SECTOR;

		if ((map->marks[sector] & STAGED) == 0)
			continue;
		for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++)
			map->durable[sector * LM_OVERLAY_SECTOR_WORDS + i] =
				lm_get_u64(from + i * sizeof(uint64_t));
		map->marks[sector] &= (unsigned char)~STAGED;
	}
}

void lm_overlay_map_revert(struct lm_overlay_map *map)
{
	for (uint64_t sector = 0; sector < map->sectors; sector++) {
		if (map->marks[sector] == 0)
			continue;
		for (size_t i = 0; i < LM_OVERLAY_SECTOR_WORDS; i++) {
			const uint64_t word = sector * LM_OVERLAY_SECTOR_WORDS + i;

			store_word(map, word, map->durable[word]);
		}
		map->marks[sector] = (map->marks[sector] & STAGED) != 0 ? CHANGED : 0;
	}
}
