/* SPDX-License-Identifier: MIT
 *
 * trace.h - the first-touch order of a run: a list of guest ranges. A handler
 * records one, a prefetch replays it, a file keeps it. The format of the file
 * is in lazymem-trace(5).
 */
#ifndef LAZYMEM_TRACE_H
#define LAZYMEM_TRACE_H

#include <lazymem/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lazymem_trace;

/* `length` bytes of guest memory from `start` on. */
struct lazymem_guest_range {
	lazymem_guest_address start;
	uint64_t length;
};

/* An empty trace in pages of `page_size` bytes (a power of two from 4096 to
 * 1 GiB). -EINVAL, -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_trace_create(size_t page_size, struct lazymem_trace **ret_trace);

/* Free. NULL is allowed. The owner. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_trace_destroy(struct lazymem_trace *trace);

/* The next range in order of first touch; start and length are multiples of
 * the page size. A range that follows on the one before is joined to it.
 * -EINVAL, -EOVERFLOW, -ENOMEM. One thread at a time. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_trace_append(struct lazymem_trace *trace,
					struct lazymem_guest_range range);

/* Ranges in the trace; the range at `index` (below that count); bytes of all
 * ranges; page size in bytes. Any thread while nobody appends. Since 0.1. */
LAZYMEM_PUBLIC size_t lazymem_trace_count(const struct lazymem_trace *trace);
LAZYMEM_PUBLIC struct lazymem_guest_range lazymem_trace_range(const struct lazymem_trace *trace,
							      size_t index);
LAZYMEM_PUBLIC uint64_t lazymem_trace_length(const struct lazymem_trace *trace);
LAZYMEM_PUBLIC size_t lazymem_trace_page_size(const struct lazymem_trace *trace);

/* Bind the trace to the image that it was recorded from; an identity of all
 * zeros unbinds it. A prefetch refuses a trace that is bound to another image.
 * One thread at a time. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_trace_bind(struct lazymem_trace *trace,
				       const struct lazymem_identity *identity);

/* What the trace is bound to; all zeros: nothing. Any thread while nobody
 * binds. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_identity lazymem_trace_identity(const struct lazymem_trace *trace);

/* Write to a new file at `path`, in place of one that is there, or not at
 * all: temporary name, fsync, rename. Any errno of those calls; the message
 * names the file. Any thread while nobody appends. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_trace_save(const struct lazymem_trace *trace, const char *path);

/* Read from the file at `path`. -EBADMSG, with what is wrong in the message,
 * when it is no trace or a damaged one; -EPROTONOSUPPORT for a version that
 * this library does not know; any errno of open and read. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_trace_load(const char *path, struct lazymem_trace **ret_trace);

#ifdef __cplusplus
}
#endif
#endif
