/* SPDX-License-Identifier: MIT
 *
 * codec_lz4.c - LZ4 blocks. Decompressing needs no memory and no context, and
 * neither reads past what is stored nor writes past what is asked for.
 *
 * Levels are those of the lz4 program: 1 and 2 are the fast compressor, which
 * is also the default, and from 3 on it is the one that searches.
 */
#include "backing/codec_table.h"
#include "core/error.h"

#include <errno.h>
#include <lz4.h>
#include <lz4hc.h>
#include <stdlib.h>

enum { FIRST_SEARCHING_LEVEL = 3 };

static void levels(int *ret_least, int *ret_most)
{
	*ret_least = 1;
	*ret_most = LZ4HC_CLEVEL_MAX;
}

/* One state, large enough for either compressor. */
static int make_state(struct lm_codec_context *context)
{
	const int fast = LZ4_sizeofState(), searching = LZ4_sizeofStateHC();

	if (context->lz4 != NULL)
		return 0;
	context->lz4 = malloc((size_t)(fast > searching ? fast : searching));
	return context->lz4 != NULL ? 0 : lm_error(-ENOMEM, "LZ4: no memory to compress");
}

static int compress_block(struct lm_codec_context *context, int level, const void *from,
			  size_t length, void *to, size_t capacity, size_t *ret_stored)
{
	int stored;
	int error = make_state(context);

	if (error != 0)
		return error;
	if (level >= FIRST_SEARCHING_LEVEL)
		stored = LZ4_compress_HC_extStateHC(context->lz4, from, to, (int)length,
						    (int)capacity, level);
	else
		stored = LZ4_compress_fast_extState(context->lz4, from, to, (int)length,
						    (int)capacity, 1);
	if (stored <= 0)
		return lm_error(-ENOSPC, "LZ4: %zu bytes do not fit in %zu", length, capacity);
	*ret_stored = (size_t)stored;
	return 0;
}

static int decompress_block(struct lm_codec_context *context, const void *from, size_t stored,
			    void *to, size_t length)
{
	const int delivered = LZ4_decompress_safe(from, to, (int)stored, (int)length);

	(void)context;
	if (delivered < 0)
		return lm_error(-EBADMSG, "LZ4: it is no block of %zu bytes", length);
	if ((size_t)delivered != length)
		return lm_error(-EBADMSG, "LZ4: it gives %d bytes, not %zu", delivered, length);
	return 0;
}

static void destroy(struct lm_codec_context *context)
{
	free(context->lz4);
	context->lz4 = NULL;
}

const struct lm_codec lm_codec_lz4 = {
	.name = "LZ4",
	.levels = levels,
	.compress = compress_block,
	.decompress = decompress_block,
	.destroy = destroy,
};
