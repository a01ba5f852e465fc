/* SPDX-License-Identifier: MIT
 *
 * codec.c - libFuzzer harness for lm_codec_decompress.
 *
 * Input: a byte for the compression, two for the number of pages it is to give
 * and how many bytes less, and what is stored. The decoders are libraries that
 * were built without a sanitizer, so what they read and write ends where a page
 * ends that cannot be touched, and begins behind bytes that must stay as they
 * are. What is accepted fills every byte, each time with the same.
 *
 * Nor does libFuzzer see where they have been. So it is told what can be seen
 * from outside: how far the output was written, and what was said.
 */
#include "backing/codec.h"

#include "tests/fuzz/require.h"

#include <errno.h>
#include <lazymem/common.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define MOST ((size_t)64 * PAGE) /* bytes of a chunk, in memory and stored */
#define FRONT PAGE
#define HEAD ((size_t)3)

/* Counters that libFuzzer takes for coverage: of errors, and of so many
 * bytes of output each, for either compression. */
#define ERRORS ((size_t)128)
#define STEP ((size_t)512)
#define STEPS (MOST / STEP + 1)
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t reached[2][ERRORS + STEPS];

/* MOST bytes, a page in front of them and a page behind that faults. */
static uint8_t *make_arena(void)
{
	uint8_t *arena =
		mmap(NULL, FRONT + MOST + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	REQUIRE(arena != MAP_FAILED);
	REQUIRE(mprotect(arena, FRONT + MOST, PROT_READ | PROT_WRITE) == 0);
	return arena + FRONT;
}

/* The last `length` bytes of the arena, all of them `fill`, as is a page's worth
 * before them. */
static uint8_t *lay_out(uint8_t *arena, size_t length, int fill)
{
	uint8_t *bytes = arena + MOST - length;

	memset(bytes - PAGE, fill, length + PAGE);
	return bytes;
}

/* Are they all `fill`? At most a page; compared with a page that is. */
static bool are_filled(const uint8_t *bytes, size_t length, int fill)
{
	static uint8_t filled[PAGE];

	if (filled[0] != fill)
		memset(filled, fill, sizeof(filled));
	return memcmp(bytes, filled, length) == 0;
}

/* Of a message, whose numbers do not count. */
static size_t error_number(void)
{
	size_t number = 0;

	for (const char *at = lazymem_error_message(); *at != '\0'; at++)
		if (*at < '0' || *at > '9')
			number = number * 31 + (unsigned char)*at;
	return number % ERRORS;
}

static void tell_what_was_reached(enum lazymem_chunk_kind kind, int error, const uint8_t *bytes,
				  size_t length, int fill)
{
	uint8_t *counters = reached[kind == LAZYMEM_CHUNK_ZSTD];

	while (length >= STEP && are_filled(bytes + length - STEP, STEP, fill))
		length -= STEP;
	counters[ERRORS + length / STEP] = 1;
	if (error != 0)
		counters[error_number()] = 1;
}

static int decompress(enum lazymem_chunk_kind kind, const uint8_t *stored, size_t stored_length,
		      uint8_t *bytes, size_t length, int fill)
{
	static struct lm_codec_context context; /* as a stack keeps it from read to read */
	const int error = lm_codec_decompress(&context, kind, stored, stored_length, bytes, length);

	REQUIRE(are_filled(bytes - PAGE, PAGE, fill));
	REQUIRE(error == 0 || error == -EBADMSG);
	REQUIRE(error == 0 || lazymem_error_message()[0] != '\0');
	return error;
}

/* The input as memory: what is compressed comes back. */
static void round_trip(enum lazymem_chunk_kind kind, const uint8_t *bytes, size_t length)
{
	static struct lm_codec_context context;
	static uint8_t stored[MOST], again[MOST];
	size_t stored_length = 0;
	const int error = lm_codec_compress(&context, kind, 0, bytes, length, stored, length - 1,
					    &stored_length);

	REQUIRE(error == 0 || error == -ENOSPC);
	if (error != 0)
		return;
	REQUIRE(stored_length < length);
	REQUIRE(lm_codec_decompress(&context, kind, stored, stored_length, again, length) == 0);
	REQUIRE(memcmp(again, bytes, length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static uint8_t *first, *second, *from;
	enum lazymem_chunk_kind kind;
	size_t length, stored_length;
	uint8_t *bytes, *again, *stored;
	int error;

	if (size <= HEAD + 1 || size - HEAD > MOST)
		return 0;
	if (first == NULL) {
		first = make_arena();
		second = make_arena();
		from = make_arena();
	}
	kind = input[0] % 2 == 0 ? LAZYMEM_CHUNK_LZ4 : LAZYMEM_CHUNK_ZSTD;
	length = (1 + input[1] % 64u) * PAGE - input[2];
	stored_length = size - HEAD;
	stored = lay_out(from, stored_length, 0);
	memcpy(stored, input + HEAD, stored_length);

	bytes = lay_out(first, length, 0x5a);
	again = lay_out(second, length, 0xa5);
	error = decompress(kind, stored, stored_length, bytes, length, 0x5a);
	tell_what_was_reached(kind, error, bytes, length, 0x5a);
	REQUIRE(decompress(kind, stored, stored_length, again, length, 0xa5) == error);
	REQUIRE(error != 0 || memcmp(bytes, again, length) == 0);
	REQUIRE(memcmp(stored, input + HEAD, stored_length) == 0);
	if (input[0] >= 128)
		round_trip(kind, stored, stored_length);
	return 0;
}
