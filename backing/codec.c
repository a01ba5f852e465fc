/* SPDX-License-Identifier: MIT
 *
 * codec.c - the dispatch in front of the compressions, and which of them this
 * build has. A compression is a table of functions in a file of its own, which
 * alone includes its library's header and is not compiled without it.
 */
#include "backing/codec.h"

#include "backing/codec_table.h"
#include "core/error.h"

#include <errno.h>

/* By kind; NULL: it is no compression, or this build lacks it. */
static const struct lm_codec *const codecs[LAZYMEM_CHUNK_KINDS] = {
#ifdef LM_HAVE_LZ4
	[LAZYMEM_CHUNK_LZ4] = &lm_codec_lz4,
#endif
#ifdef LM_HAVE_ZSTD
	[LAZYMEM_CHUNK_ZSTD] = &lm_codec_zstd,
#endif
};

bool lazymem_snapshot_supports(enum lazymem_chunk_kind kind)
{
	if ((unsigned)kind >= LAZYMEM_CHUNK_KINDS)
		return false;
	return kind <= LAZYMEM_CHUNK_RAW || codecs[kind] != NULL;
}

/* NULL, with a message, when this build has no such compression. */
static const struct lm_codec *find(enum lazymem_chunk_kind kind)
{
	static const char *const names[LAZYMEM_CHUNK_KINDS] = {
		[LAZYMEM_CHUNK_LZ4] = "LZ4",
		[LAZYMEM_CHUNK_ZSTD] = "zstd",
	};

	if ((unsigned)kind >= LAZYMEM_CHUNK_KINDS || names[kind] == NULL) {
		lm_error(-EPROTONOSUPPORT, "kind %u is no compression", (unsigned)kind);
		return NULL;
	}
	if (codecs[kind] == NULL)
		lm_error(-EPROTONOSUPPORT, "this library was built without %s", names[kind]);
	return codecs[kind];
}

void lm_codec_context_destroy(struct lm_codec_context *context)
{
	for (size_t i = 0; i < LAZYMEM_CHUNK_KINDS; i++)
		if (codecs[i] != NULL)
			codecs[i]->destroy(context);
}

static int check_level(const struct lm_codec *codec, int level)
{
	int least = 0, most = 0;

	codec->levels(&least, &most);
	if (level != 0 && (level < least || level > most))
		return lm_error(-EINVAL, "%s has no level %d, only %d to %d", codec->name, level,
				least, most);
	return 0;
}

int lm_codec_check_level(enum lazymem_chunk_kind kind, int level)
{
	const struct lm_codec *codec = find(kind);

	return codec != NULL ? check_level(codec, level) : -EPROTONOSUPPORT;
}

int lm_codec_compress(struct lm_codec_context *context, enum lazymem_chunk_kind kind, int level,
		      const void *from, size_t length, void *to, size_t capacity,
		      size_t *ret_stored)
{
	const struct lm_codec *codec = find(kind);
	int error;

	if (codec == NULL)
		return -EPROTONOSUPPORT;
	error = check_level(codec, level);
	if (error != 0)
		return error;
	if (length == 0 || length > LM_CODEC_LONGEST || capacity > LM_CODEC_LONGEST)
		return lm_error(-EINVAL, "%s: %zu bytes into %zu, not 1 to %zu", codec->name,
				length, capacity, LM_CODEC_LONGEST);
	return codec->compress(context, level, from, length, to, capacity, ret_stored);
}

int lm_codec_decompress(struct lm_codec_context *context, enum lazymem_chunk_kind kind,
			const void *from, size_t stored, void *to, size_t length)
{
	const struct lm_codec *codec = find(kind);

	if (codec == NULL)
		return -EPROTONOSUPPORT;
	if (stored == 0 || stored > LM_CODEC_LONGEST || length > LM_CODEC_LONGEST)
		return lm_error(-EBADMSG, "%s: %zu bytes for %zu, not 1 to %zu", codec->name,
				stored, length, LM_CODEC_LONGEST);
	return codec->decompress(context, from, stored, to, length);
}
