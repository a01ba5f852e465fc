/* SPDX-License-Identifier: MIT
 *
 * seed_codec.c - compressed pages for a fuzzer to begin with, in the form that
 * codec.c takes.
 *
 *   seed_codec DIRECTORY
 */
#include "backing/codec.h"
#include "tests/fuzz/seed_file.h"

#include <lazymem/common.h>
#include <stdint.h>
#include <string.h>

#define PAGE ((size_t)4096)
#define MOST_PAGES 64
#define HEAD 3

/* A byte at `at` of pages that have `period` different ones. */
static uint8_t pattern(size_t at, unsigned period)
{
	const uint32_t mixed = (uint32_t)at * 2654435761u;

	return (uint8_t)(period == 0 ? 0 : (mixed >> 13) % period + at / 256);
}

static int save(const char *directory, enum lazymem_chunk_kind kind, size_t pages, unsigned period,
		int level)
{
	static struct lm_codec_context context;
	static uint8_t bytes[MOST_PAGES * PAGE], seed[HEAD + MOST_PAGES * PAGE];
	size_t stored = 0;
	char name[64];

	for (size_t i = 0; i < pages * PAGE; i++)
		bytes[i] = pattern(i, period);
	seed[0] = kind == LAZYMEM_CHUNK_ZSTD;
	seed[1] = (uint8_t)(pages - 1);
	seed[2] = 0;
	if (lm_codec_compress(&context, kind, level, bytes, pages * PAGE, seed + HEAD,
			      MOST_PAGES * PAGE, &stored) != 0) {
		fprintf(stderr, "seed_codec: %s\n", lazymem_error_message());
		return -1;
	}
	snprintf(name, sizeof(name), "%s-%zu-%u-%d", seed[0] == 0 ? "lz4" : "zstd", pages, period,
		 level);
	return write_seed(directory, name, seed, HEAD + stored);
}

int main(int argc, char **argv)
{
	static const unsigned periods[] = {0, 2, 16};
	static const size_t pages[] = {1, 4, 64};

	if (argc != 2) {
		fprintf(stderr, "usage: seed_codec DIRECTORY\n");
		return 2;
	}
	for (size_t i = 0; i < 3; i++)
		for (size_t j = 0; j < 3; j++)
			for (int level = 1; level <= 9; level += 8)
				if (save(argv[1], LAZYMEM_CHUNK_LZ4, pages[i], periods[j], level) ||
				    save(argv[1], LAZYMEM_CHUNK_ZSTD, pages[i], periods[j], level))
					return 1;
	return 0;
}
