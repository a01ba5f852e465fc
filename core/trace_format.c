/* SPDX-License-Identifier: MIT
 *
 * trace_format.c - a trace as bytes, version 1; lazymem-trace(5) is its
 * description to the byte.
 *
 *   header   64 bytes   magic, version, header length, page size, reserved,
 *                       run count, identity of the image
 *   runs     16 bytes each: start, length
 *   checksum 4 bytes    CRC-32C of everything before it
 *
 * Nothing that comes from a file is believed: the size is compared with what
 * the count says before anything is allocated by it, then the checksum, and
 * then each run is held against the rules that lazymem_trace_append has for
 * any caller.
 */
#include "core/checked.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/little_endian.h"
#include "core/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define VERSION 1u
#define RUN_SIZE ((size_t)16)
#define CHECKSUM_SIZE ((size_t)4)

static const char magic[8] = {'L', 'Z', 'M', 'T', 'R', 'A', 'C', 'E'};

/* Byte offsets in the header. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEADER_SIZE = 12,
	AT_PAGE_SIZE = 16,
	AT_RESERVED = 20,
	AT_COUNT = 24,
	AT_IDENTITY = 32,
};

_Static_assert(AT_IDENTITY + sizeof(struct lazymem_identity) == LM_TRACE_HEADER_SIZE,
	       "the identity ends the header");

/* False when there is no such size. */
static bool size_of(uint64_t count, uint64_t *ret_size)
{
	const uint64_t frame = LM_TRACE_HEADER_SIZE + CHECKSUM_SIZE;
	uint64_t runs;

	if (__builtin_mul_overflow(count, (uint64_t)RUN_SIZE, &runs))
		return false;
	return lm_add(runs, frame, ret_size);
}

static void put_header(unsigned char *to, const struct lazymem_trace *trace)
{
	memset(to, 0, LM_TRACE_HEADER_SIZE);
	memcpy(to + AT_MAGIC, magic, sizeof(magic));
	lm_put_u32(to + AT_VERSION, VERSION);
	lm_put_u32(to + AT_HEADER_SIZE, LM_TRACE_HEADER_SIZE);
	lm_put_u32(to + AT_PAGE_SIZE, (uint32_t)trace->page_size);
	lm_put_u64(to + AT_COUNT, trace->count);
	memcpy(to + AT_IDENTITY, trace->identity.bytes, sizeof(trace->identity.bytes));
}

int lm_trace_serialise(const struct lazymem_trace *trace, void **ret_bytes, size_t *ret_size)
{
	unsigned char *bytes, *next;
	uint64_t size = 0;

	if (!size_of(trace->count, &size))
		return lm_error(-EOVERFLOW, "trace: %zu ranges fit in no file", trace->count);
	bytes = malloc(size);
	if (bytes == NULL)
		return lm_error(-ENOMEM, "trace: no memory for a file of %" PRIu64 " bytes", size);
	put_header(bytes, trace);
	next = bytes + LM_TRACE_HEADER_SIZE;
	for (size_t i = 0; i < trace->count; i++, next += RUN_SIZE) {
		lm_put_u64(next, trace->ranges[i].start.value);
		lm_put_u64(next + 8, trace->ranges[i].length);
	}
	lm_put_u32(next, lm_crc32c(0, bytes, size - CHECKSUM_SIZE));
	*ret_bytes = bytes;
	*ret_size = size;
	return 0;
}

static int check_reserved(const unsigned char *header)
{
	const uint32_t reserved = lm_get_u32(header + AT_RESERVED);

	if (reserved != 0)
		return lm_error(-EBADMSG, "trace: reserved field is 0x%" PRIx32 ", not zero",
				reserved);
	return 0;
}

int lm_trace_parse_header(const void *header, uint64_t *ret_size)
{
	const unsigned char *from = header;
	uint32_t number;

	if (memcmp(from + AT_MAGIC, magic, sizeof(magic)) != 0)
		return lm_error(-EBADMSG, "trace: it does not begin with LZMTRACE");
	number = lm_get_u32(from + AT_VERSION);
	if (number != VERSION)
		return lm_error(-EPROTONOSUPPORT, "trace: version %" PRIu32 ", only %u is known",
				number, VERSION);
	number = lm_get_u32(from + AT_HEADER_SIZE);
	if (number != LM_TRACE_HEADER_SIZE)
		return lm_error(-EBADMSG, "trace: header length %" PRIu32 ", not %zu", number,
				LM_TRACE_HEADER_SIZE);
	if (!size_of(lm_get_u64(from + AT_COUNT), ret_size))
		return lm_error(-EBADMSG, "trace: %" PRIu64 " ranges fit in no file",
				lm_get_u64(from + AT_COUNT));
	return check_reserved(from);
}

static int check_frame(const unsigned char *from, size_t size)
{
	uint64_t expected = 0;
	uint32_t sum;
	int error;

	if (size < LM_TRACE_HEADER_SIZE + CHECKSUM_SIZE)
		return lm_error(-EBADMSG, "trace: %zu bytes are fewer than an empty one has", size);
	error = lm_trace_parse_header(from, &expected);
	if (error != 0)
		return error;
	if (expected != size)
		return lm_error(-EBADMSG,
				"trace: %" PRIu64 " ranges need %" PRIu64 " bytes, it has %zu",
				lm_get_u64(from + AT_COUNT), expected, size);
	sum = lm_crc32c(0, from, size - CHECKSUM_SIZE);
	if (sum != lm_get_u32(from + size - CHECKSUM_SIZE))
		return lm_error(-EBADMSG,
				"trace: checksum 0x%08" PRIx32
				" does not match its bytes, 0x%08" PRIx32,
				lm_get_u32(from + size - CHECKSUM_SIZE), sum);
	return 0;
}

/* What a caller's mistake is called in a file. */
static int in_file(int error)
{
	return error == -EINVAL || error == -EOVERFLOW ? -EBADMSG : error;
}

int lm_trace_parse(const void *bytes, size_t size, struct lazymem_trace **ret_trace)
{
	const unsigned char *from = bytes;
	struct lazymem_trace *trace = NULL;
	int error = check_frame(from, size);

	if (error != 0)
		return error;
	error = lazymem_trace_create(lm_get_u32(from + AT_PAGE_SIZE), &trace);
	for (size_t at = LM_TRACE_HEADER_SIZE; error == 0 && at < size - CHECKSUM_SIZE;
	     at += RUN_SIZE) {
		const struct lazymem_guest_range range = {{lm_get_u64(from + at)},
							  lm_get_u64(from + at + 8)};

		error = lazymem_trace_append(trace, range);
	}
	if (error != 0) {
		lazymem_trace_destroy(trace);
		return in_file(error);
	}
	memcpy(trace->identity.bytes, from + AT_IDENTITY, sizeof(trace->identity.bytes));
	*ret_trace = trace;
	return 0;
}
