/* SPDX-License-Identifier: MIT
 *
 * codec_table.h - what a compression provides to the dispatch in codec.c.
 */
#ifndef LM_CODEC_TABLE_H
#define LM_CODEC_TABLE_H

#include "backing/codec.h"

/* Far above a chunk, far below what the libraries' ints can hold. */
#define LM_CODEC_LONGEST ((size_t)1 << 24)

/* Lengths are from 1 to LM_CODEC_LONGEST, levels are 0 or one of `levels`. */
struct lm_codec {
	const char *name;
	void (*levels)(int *ret_least, int *ret_most);
	int (*compress)(struct lm_codec_context *context, int level, const void *from,
			size_t length, void *to, size_t capacity, size_t *ret_stored);
	int (*decompress)(struct lm_codec_context *context, const void *from, size_t stored,
			  void *to, size_t length);
	void (*destroy)(struct lm_codec_context *context);
};

extern const struct lm_codec lm_codec_lz4;
extern const struct lm_codec lm_codec_zstd;

#endif
