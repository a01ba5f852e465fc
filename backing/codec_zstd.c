/* SPDX-License-Identifier: MIT
 *
 * codec_zstd.c - zstd frames. What is stored must be one frame of today's
 * format and nothing else: the library would also take several of them, empty
 * ones between, and those of versions long gone, whose decoders are less
 * tested and take memory. One call gives the whole frame, so its window is the
 * output itself and nothing is allocated, whatever the frame asks for.
 */
#include "backing/codec_table.h"
#include "core/error.h"
#include "core/little_endian.h"

#include <errno.h>
#include <zstd.h>
#include <zstd_errors.h>

static void levels(int *ret_least, int *ret_most)
{
	*ret_least = ZSTD_minCLevel();
	*ret_most = ZSTD_maxCLevel();
}

static int compress_frame(struct lm_codec_context *context, int level, const void *from,
			  size_t length, void *to, size_t capacity, size_t *ret_stored)
{
	size_t stored;

	if (context->zstd == NULL)
		context->zstd = ZSTD_createCCtx();
	if (context->zstd == NULL)
		return lm_error(-ENOMEM, "zstd: no memory to compress");
	stored = ZSTD_compressCCtx(context->zstd, to, capacity, from, length, level);
	if (!ZSTD_isError(stored)) {
		*ret_stored = stored;
		return 0;
	}
	switch (ZSTD_getErrorCode(stored)) {
	case ZSTD_error_dstSize_tooSmall:
		return lm_error(-ENOSPC, "zstd: %zu bytes do not fit in %zu", length, capacity);
	case ZSTD_error_memory_allocation:
		return lm_error(-ENOMEM, "zstd: no memory to compress at level %d", level);
	default:
		return lm_error(-EIO, "zstd: cannot compress %zu bytes: %s", length,
				ZSTD_getErrorName(stored));
	}
}

static int check_frame(const void *from, size_t stored)
{
	size_t frame;

	if (stored < sizeof(uint32_t) || lm_get_u32(from) != ZSTD_MAGICNUMBER)
		return lm_error(-EBADMSG, "zstd: it does not begin as a frame does");
	frame = ZSTD_findFrameCompressedSize(from, stored);
	if (ZSTD_isError(frame))
		return lm_error(-EBADMSG, "zstd: its blocks do not make a frame: %s",
				ZSTD_getErrorName(frame));
	if (frame != stored)
		return lm_error(-EBADMSG, "zstd: the frame has %zu bytes, %zu are stored", frame,
				stored);
	return 0;
}

static int decompress_frame(struct lm_codec_context *context, const void *from, size_t stored,
			    void *to, size_t length)
{
	size_t delivered;
	int error = check_frame(from, stored);

	if (error != 0)
		return error;
	if (context->zstd_decompress == NULL)
		context->zstd_decompress = ZSTD_createDCtx();
	if (context->zstd_decompress == NULL)
		return lm_error(-ENOMEM, "zstd: no memory to decompress");
	delivered = ZSTD_decompressDCtx(context->zstd_decompress, to, length, from, stored);
	if (ZSTD_isError(delivered))
		return lm_error(-EBADMSG, "zstd: it is no frame of %zu bytes: %s", length,
				ZSTD_getErrorName(delivered));
	if (delivered != length)
		return lm_error(-EBADMSG, "zstd: it gives %zu bytes, not %zu", delivered, length);
	return 0;
}

static void destroy(struct lm_codec_context *context)
{
	ZSTD_freeCCtx(context->zstd);
	ZSTD_freeDCtx(context->zstd_decompress);
	context->zstd = NULL;
	context->zstd_decompress = NULL;
}

const struct lm_codec lm_codec_zstd = {
	.name = "zstd",
	.levels = levels,
	.compress = compress_frame,
	.decompress = decompress_frame,
	.destroy = destroy,
};
