/* SPDX-License-Identifier: MIT
 *
 * Word i of the data page at `offset` is (offset ^ seed) + i * step: each page
 * carries its own offset and the seed, no two words of an image are likely to
 * agree, and none of the first words is zero, so that a page of false zeros is
 * caught by the first word already.
 *
 * The kinds of a layout come in blocks of a fixed number of groups, each block
 * rotated by a hash of its number: the shares are exact and the order is not
 * periodic.
 */
#include "pattern.h"
#include "random.h"

#include <string.h>

#define SEED 0x6c617a796d656d21ull
#define STEP 0x9e3779b97f4a7c15ull

struct shares {
	unsigned groups; /* in a block */
	unsigned data;   /* of these, data; then zeros; the rest holes */
	unsigned zero;
};

static const struct shares shares_of[] = {
	[PATTERN_DATA] = {1, 1, 0},
	[PATTERN_SPARSE] = {20, 2, 9},
	[PATTERN_MIXED] = {4, 2, 1},
};

enum pattern_kind pattern_kind(enum pattern_layout layout, uint64_t offset)
{
	const struct shares *shares = &shares_of[layout];
	uint64_t group = offset / PATTERN_GROUP_BYTES;
	uint64_t block = group / shares->groups;
	uint64_t place = (group + random_mix(block + SEED)) % shares->groups;

	if (place < shares->data)
		return PATTERN_KIND_DATA;
	return place < shares->data + shares->zero ? PATTERN_KIND_ZERO : PATTERN_KIND_HOLE;
}

uint64_t pattern_first_word(enum pattern_layout layout, uint64_t offset)
{
	return pattern_kind(layout, offset) == PATTERN_KIND_DATA ? offset ^ SEED : 0;
}

void pattern_fill(enum pattern_layout layout, uint64_t offset, uint64_t *words)
{
	uint64_t word = offset ^ SEED;

	if (pattern_kind(layout, offset) != PATTERN_KIND_DATA) {
		memset(words, 0, PAGE_BYTES);
		return;
	}
	for (size_t i = 0; i < PAGE_WORDS; i++, word += STEP)
		words[i] = word;
}

bool pattern_matches(enum pattern_layout layout, uint64_t offset, const uint64_t *words,
		     bool written)
{
	bool data = pattern_kind(layout, offset) == PATTERN_KIND_DATA;
	uint64_t step = data ? STEP : 0;
	uint64_t word = data ? offset ^ SEED : 0;
	uint64_t difference = words[0] ^ (written ? PATTERN_WRITTEN : word);

	for (size_t i = 1; i < PAGE_WORDS; i++) {
		word += step;
		difference |= words[i] ^ word;
	}
	return difference == 0;
}
