/* SPDX-License-Identifier: MIT
 *
 * codec_test.c - compressions: there and back, and bytes that somebody made up.
 */
#include "backing/codec.h"
#include "core/little_endian.h"
#include "sample.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LONGEST ((size_t)256 << 10)

static const enum lazymem_chunk_kind compressions[] = {LAZYMEM_CHUNK_LZ4, LAZYMEM_CHUNK_ZSTD};

/* For each compression that this build has. */
#define for_each_compression(kind)                                                                 \
	for (size_t i_ = 0; i_ < 2; i_++)                                                          \
		for (enum lazymem_chunk_kind kind = compressions[i_], once_ = 1;                   \
		     once_ && lazymem_snapshot_supports(kind); once_ = 0)

static unsigned char plain[LONGEST], stored[LONGEST + 4096], result[LONGEST + 4096];
static struct lm_codec_context context;

static int tear_down(void **state)
{
	(void)state;
	lm_codec_context_destroy(&context);
	return 0;
}

static size_t compress(enum lazymem_chunk_kind kind, int level, size_t length)
{
	size_t size = 0;

	sample_fill(plain, 0, length);
	assert_int_equal(lm_codec_compress(&context, kind, level, plain, length, stored,
					   sizeof(stored), &size),
			 0);
	return size;
}

static void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

static void what_was_compressed_comes_back(void **state)
{
	static const int levels[] = {0, 1, 2, 3, 9, 12};

	(void)state;
	for_each_compression(kind)
	{
		for (size_t length = 4096; length <= LONGEST; length *= 2) {
			for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
				const size_t size = compress(kind, levels[i], length);

				assert_in_range(size, 1, length / 2);
				memset(result, 0xee, length + 1);
				assert_int_equal(lm_codec_decompress(&context, kind, stored, size,
								     result, length),
						 0);
				assert_memory_equal(result, plain, length);
				assert_int_equal(result[length], 0xee);
			}
		}
	}
}

static void the_same_bytes_are_compressed_to_the_same(void **state)
{
	static unsigned char again[LONGEST];
	struct lm_codec_context fresh = {0};
	size_t size = 0;

	(void)state;
	for_each_compression(kind)
	{
		compress(kind, 0, LONGEST); /* the context is not new */
		const size_t first = compress(kind, 0, 16384);

		assert_int_equal(lm_codec_compress(&fresh, kind, 0, plain, 16384, again,
						   sizeof(again), &size),
				 0);
		assert_int_equal(size, first);
		assert_memory_equal(again, stored, size);
	}
	lm_codec_context_destroy(&fresh);
}

static void what_does_not_fit_is_told(void **state)
{
	size_t size = 0;

	(void)state;
	for_each_compression(kind)
	{
		srandom(1);
		for (size_t i = 0; i < 4096; i++)
			plain[i] = (unsigned char)random();
		assert_int_equal(
			lm_codec_compress(&context, kind, 0, plain, 4096, stored, 3584, &size),
			-ENOSPC);
		assert_int_equal(size, 0);
	}
}

static void level_that_a_compression_does_not_have_is_refused(void **state)
{
	size_t size = 0;

	(void)state;
	for_each_compression(kind)
	{
		assert_int_equal(lm_codec_check_level(kind, 0), 0);
		assert_int_equal(lm_codec_check_level(kind, 12), 0);
		assert_int_equal(lm_codec_check_level(kind, 99), -EINVAL);
		assert_says("no level 99");
		assert_int_equal(
			lm_codec_compress(&context, kind, 99, plain, 4096, stored, 4096, &size),
			-EINVAL);
	}
}

static void another_length_than_is_asked_for_is_damage(void **state)
{
	(void)state;
	for_each_compression(kind)
	{
		const size_t size = compress(kind, 0, 16384);

		for (size_t length = 4096; length <= 32768; length += 4096) {
			if (length == 16384)
				continue;
			memset(result, 0xee, sizeof(result));
			assert_int_equal(
				lm_codec_decompress(&context, kind, stored, size, result, length),
				-EBADMSG);
			assert_int_equal(result[length], 0xee);
		}
	}
}

static void cut_and_lengthened_bytes_are_damage(void **state)
{
	(void)state;
	for_each_compression(kind)
	{
		const size_t size = compress(kind, 0, 16384);

		for (size_t cut = 0; cut < size; cut++) {
			/* of its own, so that a sanitizer sees a read past the end */
			unsigned char *exact = malloc(cut + 1);

			assert_non_null(exact);
			memcpy(exact, stored, cut);
			assert_int_equal(
				lm_codec_decompress(&context, kind, exact, cut, result, 16384),
				-EBADMSG);
			free(exact);
		}
		memset(stored + size, 0, 64);
		assert_int_equal(
			lm_codec_decompress(&context, kind, stored, size + 64, result, 16384),
			-EBADMSG);
	}
}

/* It may come out as other bytes, which the checksums of pages tell; it must
 * not write past the end. */
static void bytes_at_random_do_not_write_past_the_end(void **state)
{
	unsigned char *exact = malloc(16384);

	(void)state;
	assert_non_null(exact);
	srandom(7);
	for_each_compression(kind)
	{
		for (int round = 0; round < 3000; round++) {
			const size_t size = compress(kind, 0, 16384);
			const long changes = 1 + random() % 8;

			for (long i = 0; i < changes; i++)
				stored[(size_t)random() % size] = (unsigned char)random();
			lm_codec_decompress(&context, kind, stored, size, exact, 16384);
		}
	}
	free(exact);
}

static void frames_side_by_side_are_damage(void **state)
{
	(void)state;
	if (!lazymem_snapshot_supports(LAZYMEM_CHUNK_ZSTD))
		skip();
	const size_t first = compress(LAZYMEM_CHUNK_ZSTD, 0, 8192);

	memcpy(stored + first, stored, first);
	assert_int_equal(
		lm_codec_decompress(&context, LAZYMEM_CHUNK_ZSTD, stored, 2 * first, result, 16384),
		-EBADMSG);
	assert_says("the frame has");
}

static void frames_of_old_versions_and_empty_ones_are_damage(void **state)
{
	static const uint32_t magics[] = {0x184D2A50, 0xFD2FB527, 0xFD2FB525, 0xFD2FB51E};

	(void)state;
	if (!lazymem_snapshot_supports(LAZYMEM_CHUNK_ZSTD))
		skip();
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		const size_t size = compress(LAZYMEM_CHUNK_ZSTD, 0, 8192);

		lm_put_u32(stored, magics[i]);
		assert_int_equal(lm_codec_decompress(&context, LAZYMEM_CHUNK_ZSTD, stored, size,
						     result, 8192),
				 -EBADMSG);
		assert_says("does not begin as a frame does");
	}
}

static void decompressing_takes_no_memory_once_there_is_a_context(void **state)
{
	struct mallinfo2 before, after;

	(void)state;
	for_each_compression(kind)
	{
		const size_t size = compress(kind, 12, LONGEST);

		for (int round = 0; round < 2; round++) {
			before = mallinfo2();
			assert_int_equal(
				lm_codec_decompress(&context, kind, stored, size, result, LONGEST),
				0);
			after = mallinfo2();
		}
		assert_int_equal(before.uordblks, after.uordblks);
		assert_int_equal(before.hblkhd, after.hblkhd);
	}
}

static void kinds_that_are_stored_as_they_are_are_always_supported(void **state)
{
	(void)state;
	assert_true(lazymem_snapshot_supports(LAZYMEM_CHUNK_ZERO));
	assert_true(lazymem_snapshot_supports(LAZYMEM_CHUNK_PARENT));
	assert_true(lazymem_snapshot_supports(LAZYMEM_CHUNK_RAW));
	assert_false(lazymem_snapshot_supports((enum lazymem_chunk_kind)LAZYMEM_CHUNK_KINDS));
	assert_false(lazymem_snapshot_supports((enum lazymem_chunk_kind) - 1));
}

static void what_is_no_compression_here_is_refused(void **state)
{
	size_t size = 0;

	(void)state;
	for (unsigned kind = 0; kind < 8; kind++) {
		const enum lazymem_chunk_kind asked = (enum lazymem_chunk_kind)kind;

		if (kind > LAZYMEM_CHUNK_RAW && lazymem_snapshot_supports(asked))
			continue;
		assert_int_equal(
			lm_codec_compress(&context, asked, 0, plain, 4096, stored, 4096, &size),
			-EPROTONOSUPPORT);
		assert_int_equal(lm_codec_decompress(&context, asked, stored, 16, result, 4096),
				 -EPROTONOSUPPORT);
		assert_int_equal(lm_codec_check_level(asked, 0), -EPROTONOSUPPORT);
		assert_says(kind == LAZYMEM_CHUNK_LZ4 || kind == LAZYMEM_CHUNK_ZSTD
				    ? "built without"
				    : "no compression");
	}
}

static void a_context_that_was_never_used_can_be_destroyed(void **state)
{
	struct lm_codec_context unused = {0};

	(void)state;
	lm_codec_context_destroy(&unused);
	lm_codec_context_destroy(&unused);
}

#define with_context(test) cmocka_unit_test_teardown(test, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_context(what_was_compressed_comes_back),
		with_context(the_same_bytes_are_compressed_to_the_same),
		with_context(what_does_not_fit_is_told),
		with_context(level_that_a_compression_does_not_have_is_refused),
		with_context(another_length_than_is_asked_for_is_damage),
		with_context(cut_and_lengthened_bytes_are_damage),
		with_context(bytes_at_random_do_not_write_past_the_end),
		with_context(frames_side_by_side_are_damage),
		with_context(frames_of_old_versions_and_empty_ones_are_damage),
		with_context(decompressing_takes_no_memory_once_there_is_a_context),
		with_context(kinds_that_are_stored_as_they_are_are_always_supported),
		with_context(what_is_no_compression_here_is_refused),
		with_context(a_context_that_was_never_used_can_be_destroyed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
