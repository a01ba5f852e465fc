/* SPDX-License-Identifier: MIT
 *
 * trace.c - libFuzzer harness for lm_trace_parse.
 *
 * Bytes are parsed twice: as they are, and with count and checksum mended,
 * since a fuzzer never guesses a checksum and would not come past it. What is
 * accepted must keep the invariants of a trace, and survive a round trip.
 */
#include "core/trace.h"
#include "core/checked.h"
#include "core/crc32c.h"
#include "tests/fuzz/require.h"

#include <endian.h>
#include <string.h>

#define COUNT_AT 24
#define RUN_SIZE ((size_t)16)
#define CHECKSUM_SIZE ((size_t)4)
#define FRAME_SIZE (LM_TRACE_HEADER_SIZE + CHECKSUM_SIZE)

static void check_invariants(const struct lazymem_trace *trace)
{
	uint64_t length = 0;

	REQUIRE(lm_is_power_of_two(trace->page_size) && trace->page_size >= 4096);
	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		const struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		REQUIRE(range.length > 0);
		REQUIRE(lm_is_aligned(range.start.value, trace->page_size));
		REQUIRE(lm_is_aligned(range.length, trace->page_size));
		REQUIRE(range.length - 1 <= UINT64_MAX - range.start.value);
		REQUIRE(lm_add(length, range.length, &length));
	}
	REQUIRE(length == lazymem_trace_length(trace));
}

static void check_round_trip(const struct lazymem_trace *trace)
{
	struct lazymem_trace *again = NULL;
	void *bytes = NULL;
	size_t size = 0;

	REQUIRE(lm_trace_serialise(trace, &bytes, &size) == 0);
	REQUIRE(lm_trace_parse(bytes, size, &again) == 0);
	REQUIRE(again->page_size == trace->page_size && again->count == trace->count);
	REQUIRE(trace->count == 0 ||
		memcmp(again->ranges, trace->ranges, trace->count * sizeof(*trace->ranges)) == 0);
	REQUIRE(memcmp(&again->identity, &trace->identity, sizeof(trace->identity)) == 0);
	lazymem_trace_destroy(again);
	free(bytes);
}

static void parse(const void *bytes, size_t size)
{
	struct lazymem_trace *trace = NULL;

	if (lm_trace_parse(bytes, size, &trace) != 0) {
		REQUIRE(trace == NULL);
		REQUIRE(lazymem_error_message()[0] != '\0');
		return;
	}
	check_invariants(trace);
	check_round_trip(trace);
	lazymem_trace_destroy(trace);
}

/* Whole runs, as many as the header is made to say, and the checksum of it all. */
static void parse_mended(const uint8_t *bytes, size_t size)
{
	const size_t runs = (size - FRAME_SIZE) / RUN_SIZE;
	const size_t mended_size = FRAME_SIZE + runs * RUN_SIZE;
	const uint64_t count = htole64(runs);
	unsigned char *mended = malloc(mended_size);
	uint32_t checksum;

	if (mended == NULL)
		return;
	memcpy(mended, bytes, mended_size);
	memcpy(mended + COUNT_AT, &count, sizeof(count));
	checksum = htole32(lm_crc32c(0, mended, mended_size - CHECKSUM_SIZE));
	memcpy(mended + mended_size - CHECKSUM_SIZE, &checksum, CHECKSUM_SIZE);
	parse(mended, mended_size);
	free(mended);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	parse(bytes, size);
	if (size >= FRAME_SIZE)
		parse_mended(bytes, size);
	return 0;
}
