/* SPDX-License-Identifier: MIT
 *
 * trace.h - a trace in memory, and to and from the bytes of its file.
 */
#ifndef LM_TRACE_H
#define LM_TRACE_H

#include <lazymem/trace.h>

/* Invariants: page_size is a power of two from 4 KiB to 1 GiB; every range is
 * whole pages, not empty, and ends at or below 2^64; length is their sum. */
struct lazymem_trace {
	size_t page_size;
	size_t count;
	size_t capacity;
	uint64_t length;
	struct lazymem_identity identity; /* of the image it is bound to; zeros: none */
	struct lazymem_guest_range *ranges;
};

/* Of the file format, lazymem-trace(5). */
#define LM_TRACE_HEADER_SIZE ((size_t)64)

/* The bytes of a trace's file, for the caller to free. -EOVERFLOW, -ENOMEM. */
int lm_trace_serialise(const struct lazymem_trace *trace, void **ret_bytes, size_t *ret_size);

/* The size of the file that this header, LM_TRACE_HEADER_SIZE bytes, begins.
 * -EBADMSG, -EPROTONOSUPPORT. */
int lm_trace_parse_header(const void *header, uint64_t *ret_size);

/* The trace that these bytes, a whole file, hold. Trusts nothing of them.
 * -EBADMSG, -EPROTONOSUPPORT, -ENOMEM. */
int lm_trace_parse(const void *bytes, size_t size, struct lazymem_trace **ret_trace);

#endif
