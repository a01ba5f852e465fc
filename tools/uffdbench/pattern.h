/* SPDX-License-Identifier: MIT
 *
 * pattern.h - what the pages of an image hold. The content of a page follows
 * from the layout of the image and the page's offset alone, so that it can be
 * checked without looking at the image again.
 */
#ifndef UFFDBENCH_PATTERN_H
#define UFFDBENCH_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096u
#define PAGE_WORDS (PAGE_BYTES / sizeof(uint64_t))

/* Layouts change kind only at multiples of this many bytes. */
#define PATTERN_GROUP_BYTES (16u * PAGE_BYTES)

/* What --write stores in the first word of each touched page. */
#define PATTERN_WRITTEN 0x7772697474656e21ull

enum pattern_layout {
	PATTERN_DATA,   /* data only */
	PATTERN_SPARSE, /* a tenth data, 45 % written zeros, 45 % holes */
	PATTERN_MIXED,  /* half data, a quarter written zeros, a quarter holes */
};

enum pattern_kind {
	PATTERN_KIND_DATA,
	PATTERN_KIND_ZERO, /* zeros that are in the file */
	PATTERN_KIND_HOLE, /* zeros that are not */
};

/* What the page at `offset` is; a multiple of PAGE_BYTES here and below. */
enum pattern_kind pattern_kind(enum pattern_layout layout, uint64_t offset);

/* Its first word: all that is compared while the clock runs. */
uint64_t pattern_first_word(enum pattern_layout layout, uint64_t offset);

/* Write the whole page to `words`. */
void pattern_fill(enum pattern_layout layout, uint64_t offset, uint64_t *words);

/* Is all of the page as it should be? `written`: its first word was replaced
 * by PATTERN_WRITTEN. */
bool pattern_matches(enum pattern_layout layout, uint64_t offset, const uint64_t *words,
		     bool written);

#endif
