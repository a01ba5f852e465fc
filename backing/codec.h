/* SPDX-License-Identifier: MIT
 *
 * codec.h - compressions, each behind one file. A build may lack any of them.
 */
#ifndef LM_CODEC_H
#define LM_CODEC_H

#include <lazymem/snapshot.h>
#include <stddef.h>

/* What a thread needs to compress or decompress, kept from one call to the
 * next so that no call needs memory. Zero it before the first use. */
struct lm_codec_context {
	void *lz4;             /* compressing */
	void *zstd;            /* compressing */
	void *zstd_decompress; /* decompressing */
};

void lm_codec_context_destroy(struct lm_codec_context *context);

/* Is it a level of this compression? 0 is: its default. -EINVAL, which names
 * those it has, -EPROTONOSUPPORT. */
int lm_codec_check_level(enum lazymem_chunk_kind kind, int level);

/* Compress `length` bytes into at most `capacity`. -ENOSPC when it does not
 * fit, -EPROTONOSUPPORT when this build lacks it, -EINVAL for a level that the
 * compression does not have, -ENOMEM. level 0: its default. */
int lm_codec_compress(struct lm_codec_context *context, enum lazymem_chunk_kind kind, int level,
		      const void *from, size_t length, void *to, size_t capacity,
		      size_t *ret_stored);

/* Decompress into exactly `length` bytes. Trusts nothing of `from`. -EBADMSG,
 * -EPROTONOSUPPORT, -ENOMEM (the context; only the first time). */
int lm_codec_decompress(struct lm_codec_context *context, enum lazymem_chunk_kind kind,
			const void *from, size_t stored, void *to, size_t length);

#endif
