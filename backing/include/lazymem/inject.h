/* SPDX-License-Identifier: MIT
 *
 * inject.h - for whoever tests a monitor: backing objects that wrap another
 * one and delay, fail, shorten or record its reads. They nest in any order, pass
 * extents, identity and readahead through, and take parts where it does.
 *
 * A wrapper takes a reference to what it wraps, and is as long. What is held
 * up, failed or recorded are reads: where the extents of the inner object
 * answer for holes, nobody reads.
 */
#ifndef LAZYMEM_INJECT_H
#define LAZYMEM_INJECT_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which reads are hit: those that overlap [start, start + length) of the
 * object, or have a part that does; a length of zero means all of it. Since 0.1. */
struct lazymem_inject_range {
	uint64_t start;  /* bytes */
	uint64_t length; /* bytes */
};

/* Delay: reads that overlap `range` complete at least `nanoseconds` after
 * they were submitted, mostly on a thread of the object; others are not held
 * up. -EINVAL without inner, -ENOMEM, or what starting its thread answered.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_delay(struct lazymem_backing *inner,
					struct lazymem_inject_range range, uint64_t nanoseconds,
					struct lazymem_backing **ret_backing);

/* Fail: the first `count` reads that overlap `range` complete with `error`, a
 * negative errno value, without reading; UINT64_MAX: all of them. -EINVAL when
 * error is not negative or without inner, -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_fail(struct lazymem_backing *inner,
				       struct lazymem_inject_range range, int error, uint64_t count,
				       struct lazymem_backing **ret_backing);

/* Shorten: the first `count` reads that overlap `range` deliver only their
 * first half (of a read in parts: those that lie wholly in it), overwrite
 * nothing of the rest, and complete with -ENODATA, as a source that ends early
 * does; UINT64_MAX: all of them. -EINVAL without inner, -ENOMEM. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_shorten(struct lazymem_backing *inner,
					  struct lazymem_inject_range range, uint64_t count,
					  struct lazymem_backing **ret_backing);

/* One read as it was submitted, and how it ended. Since 0.1. */
struct lazymem_inject_read {
	uint64_t offset;       /* bytes */
	uint64_t length;       /* bytes */
	uint64_t submitted_ns; /* CLOCK_MONOTONIC */
	uint64_t completed_ns; /* CLOCK_MONOTONIC */
	int error;             /* 0 or a negative errno value */
};

/* Record: `observe` is called after each read has ended and before its
 * completion, on the thread that completes it, on several at once if they do; of
 * a read in parts, once for each part.
 * -EINVAL without observe or inner, -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_record(struct lazymem_backing *inner,
					 void (*observe)(void *context,
							 const struct lazymem_inject_read *read),
					 void *context, struct lazymem_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
