/* SPDX-License-Identifier: MIT
 *
 * inject.h - for whoever tests a monitor: backing objects that wrap another
 * one and delay, fail, shorten or record its reads, and, where that is writable,
 * its writes, flushes and discards; and one that models a failure of power. They
 * nest in any order, pass extents, identity, readahead and hurry through, take parts
 * where it does, and are writable when it is.
 *
 * A wrapper takes a reference to what it wraps, and is as long. What is held
 * up, failed or recorded is what is asked of it: where the extents of the inner
 * object answer for holes, nobody reads.
 */
#ifndef LAZYMEM_INJECT_H
#define LAZYMEM_INJECT_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is asked of a backing object. Since 0.1. */
enum lazymem_inject_operation {
	LAZYMEM_INJECT_READ = 1 << 0,
	LAZYMEM_INJECT_WRITE = 1 << 1,
	LAZYMEM_INJECT_FLUSH = 1 << 2,
	LAZYMEM_INJECT_DISCARD = 1 << 3,
};

/* What is hit: these operations, if they overlap [start, start + length) of the
 * object, or have a part that does; a length of zero means all of it. A flush
 * overlaps every range. Since 0.1. */
struct lazymem_inject_range {
	uint64_t start;      /* bytes */
	uint64_t length;     /* bytes */
	unsigned operations; /* of LAZYMEM_INJECT_*; 0: reads */
};

/* Delay: what is hit completes at least `nanoseconds` after it was submitted,
 * mostly on a thread of the object; a discard takes so long. Others are not held
 * up. -EINVAL without inner and for unknown operations, -ENOMEM, or what starting
 * its thread answered. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_delay(struct lazymem_backing *inner,
					struct lazymem_inject_range range, uint64_t nanoseconds,
					struct lazymem_backing **ret_backing);

/* Fail: the first `count` operations that are hit complete with `error`, a
 * negative errno value, without being done; UINT64_MAX: all of them. -EINVAL when
 * error is not negative, without inner, and for unknown operations, -ENOMEM. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_fail(struct lazymem_backing *inner,
				       struct lazymem_inject_range range, int error, uint64_t count,
				       struct lazymem_backing **ret_backing);

/* Shorten: the first `count` reads that are hit deliver only their first half (of
 * a read in parts: those that lie wholly in it), overwrite nothing of the rest,
 * and complete with -ENODATA, as a source that ends early does; writes that are
 * hit write only their first half, and complete with -ENOSPC; UINT64_MAX: all of
 * them. Flushes and discards are handed on. -EINVAL without inner and for unknown
 * operations, -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_shorten(struct lazymem_backing *inner,
					  struct lazymem_inject_range range, uint64_t count,
					  struct lazymem_backing **ret_backing);

/* One read as it was submitted, and how it ended; or a write, a discard, or a
 * flush, which has no bytes. Since 0.1. */
struct lazymem_inject_read {
	uint64_t offset;       /* bytes */
	uint64_t length;       /* bytes */
	uint64_t submitted_ns; /* CLOCK_MONOTONIC */
	uint64_t completed_ns; /* CLOCK_MONOTONIC */
	int error;             /* 0 or a negative errno value */
	enum lazymem_inject_operation operation;
	unsigned flags; /* LAZYMEM_READ_*, of a read */
};

/* Record: `observe` is called after each read, write, flush or discard has ended
 * and before its completion, on the thread that completes it, on several at once if they do; of
 * a read in parts, once for each part.
 * -EINVAL without observe or inner, -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_record(struct lazymem_backing *inner,
					 void (*observe)(void *context,
							 const struct lazymem_inject_read *read),
					 void *context, struct lazymem_backing **ret_backing);

/* Power: a disk with a cache that forgets. What is written or discarded is seen by
 * reads at once, and reaches the inner object, which is writable, with the next
 * flush; until then it is in memory, as much as was written. Reads and flushes
 * block. -EROFS when inner is read-only, -EINVAL without it, -ENOMEM. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_power(struct lazymem_backing *inner,
					struct lazymem_backing **ret_backing);

/* The power of an object of lazymem_inject_power fails, and comes back: what was
 * not flushed is lost, all of it with a seed of 0; else each sector of 512 bytes of
 * each write and discard is lost or not, as the seed decides. -EINVAL for another
 * object, or what writing to the inner one answered. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_inject_power_failure(struct lazymem_backing *backing, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
