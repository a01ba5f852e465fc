/* SPDX-License-Identifier: MIT
 *
 * handler.h - the handler serves the faults of guest memory that is filled
 * lazily.
 *
 *   lazymem_handler     the worker threads
 *   lazymem_attachment  one guest memory served by a handler, until finish or abort
 *
 * Every region of the guest memory that has a backing object is served; the
 * others are left alone. The memory must be fresh: a page that is there before
 * it is attached would never be read from the backing object, so attaching
 * refuses it.
 */
#ifndef LAZYMEM_HANDLER_H
#define LAZYMEM_HANDLER_H

#include <lazymem/backing.h>
#include <lazymem/common.h>
#include <lazymem/dirty.h>
#include <lazymem/memory.h>
#include <lazymem/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- handler ------------------------------------------------------------- */

struct lazymem_handler;

/* How a handler is made. NULL in place of a pointer to it, and zero in any
 * field, mean the default. Since 0.1. */
struct lazymem_handler_options {
	size_t size;             /* sizeof(struct lazymem_handler_options) */
	unsigned workers;        /* threads; default 1; an attachment stays with one of them */
	unsigned demand_depth;   /* demand reads in flight per worker; default 64, at most 1024.
				  * As many reads that hang hold up the worker's other faults */
	unsigned prefetch_depth; /* prefetch pieces in flight per worker; default 32, at most 64;
				  * together no more bytes than three whole pieces */
	size_t prefetch_piece;   /* bytes; default 256 KiB; a power of two from 4 KiB to 2 MiB */
	size_t fault_around;     /* bytes, at most prefetch_piece; default 0: a fault populates
				  * its own page. Else so many bytes from there on, as far as
				  * they are missing, come with it in one read. Trades memory
				  * for fewer faults */
	size_t fault_ahead;      /* bytes, at most 64 MiB; default 0: none. A fault right behind
				  * pages that are there brings as many more, up to so many
				  * bytes, the first 64 KiB of them at once: whoever goes
				  * through memory in order faults ever more seldom, and at
				  * most half of what is read was not asked for */
	const int *cpus;         /* worker i runs on cpus[i % cpu_count] only; NULL: anywhere */
	size_t cpu_count;
};

/* Can this process serve faults of kernel and guest accesses? 0, or -EPERM,
 * -ENOENT, -ENOSYS with the missing permission and its remedy in the message.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_handler_check(void);

/* Start the worker threads; they block all signals. -EINVAL and -E2BIG for
 * the options, -ENOMEM, -EAGAIN, or what io_uring answered. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_handler_create(const struct lazymem_handler_options *options,
					  struct lazymem_handler **ret_handler);

/* Stop the worker threads and free the handler. -EBUSY while an attachment is
 * left, and nothing is done. NULL is allowed. The owner. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_handler_destroy(struct lazymem_handler *handler);

/* ---- attachment ---------------------------------------------------------- */

struct lazymem_attachment;

/* A read or a populate that failed. Since 0.1. */
struct lazymem_failure {
	lazymem_guest_address address; /* first byte that is held up */
	uint64_t length;               /* bytes */
	uint64_t backing_offset;       /* bytes, in `backing` */
	const char *backing;           /* name of the backing object */
	int error;                     /* negative errno value */
	unsigned attempts;             /* failures so far, from 1 on */
	bool demand;                   /* a fault waits; false: only a prefetch */
};

enum lazymem_verdict {
	LAZYMEM_RETRY = 0,  /* again, after a pause that doubles from 1 ms to 1 s */
	LAZYMEM_POISON = 1, /* accesses raise SIGBUS until the page is healed */
};

/* Flags of struct lazymem_attach_options. */
#define LAZYMEM_ATTACH_RECORD (1u << 0)      /* record a trace: see lazymem_attachment_trace */
#define LAZYMEM_ATTACH_USERFAULTFD (1u << 1) /* use the open userfaultfd in `userfaultfd` */
#define LAZYMEM_ATTACH_TRACK                                                                       \
	(1u << 2) /* tell which pages were written: see
					      * lazymem_attachment_collect */
#define LAZYMEM_ATTACH_WRITE_BACK                                                                  \
	(1u << 3) /* what the guest writes belongs in the backing
					      * objects: lazymem_mapping_sync and
					      * lazymem_memory_sync write it there. They
					      * all must be writable. Tracks as well */

/* How an attachment tells which pages were written, from the worst way to the
 * best. */
enum lazymem_tracking {
	LAZYMEM_TRACKING_NONE = 0,      /* not at all */
	LAZYMEM_TRACKING_POPULATED = 1, /* every page that was populated counts, always */
	LAZYMEM_TRACKING_FAULTS = 2,    /* the first write to a page is a fault, which is served */
	LAZYMEM_TRACKING_KERNEL = 3,    /* the kernel notes it: Linux 6.7 */
};

/* How guest memory is attached. NULL in place of a pointer to it, and zero in
 * any field, mean the default. Since 0.1. */
struct lazymem_attach_options {
	size_t size;     /* sizeof(struct lazymem_attach_options) */
	unsigned flags;  /* LAZYMEM_ATTACH_* */
	int userfaultfd; /* of this process, UFFDIO_API done, O_NONBLOCK; taken over when
			  * attaching succeeds. The memory may be registered, and partly
			  * there. Nothing else may be registered with it, nor may a duplicate
			  * be kept: faults elsewhere find nobody. When attaching fails, the
			  * memory may be left registered. */

	enum lazymem_tracking tracking_most; /* with LAZYMEM_ATTACH_TRACK: no better way than
					      * this; NONE: the best that the kernel has */

	/* Called on a worker, which serves nothing meanwhile, after each failure;
	 * must not touch lazily filled memory. Calls that wait for a worker (attach,
	 * prefetch, wait, discard, collect) answer -EDEADLK in it; finish and abort must not be made.
	 * NULL: retry five times, then poison. A failed prefetch is retried or
	 * given up (the page stays missing), never poisoned, while no fault waits
	 * for it. */
	enum lazymem_verdict (*on_failure)(void *context, const struct lazymem_failure *failure);
	void *context;

	/* The snapshot whose bytes the memory has, where its backing objects do not say
	 * so themselves: the first moment is written as a layer over that. NULL: what
	 * lazymem_memory_identity says now. See moment.h. */
	const struct lazymem_identity *origin;

	/* Pages that are in memory already, and right, as those that a live migration has
	 * brought before the switch-over; of them, what has no memory is zero. They are never
	 * read, and count as written. Nothing else may be there. A set for `memory`; not kept.
	 * NULL: none, nothing was touched yet. Not with LAZYMEM_ATTACH_USERFAULTFD. */
	const struct lazymem_dirty *present;

	uint64_t write_back_interval; /* nanoseconds; with LAZYMEM_ATTACH_WRITE_BACK: sync
				       * everything by itself, so long after the sync before
				       * has ended. What fails is counted, and tried again.
				       * 0: never */
};

/* Serve the faults of `memory` (a reference is taken) until finish or abort.
 * The regions are kept out of forked children, which would read false zeros.
 *  -ENODATA  no region has a backing object
 *  -EINVAL   an option; or a region that cannot be filled lazily (the message names it)
 *  -EEXIST   memory that is there already, and not in `present`: attach before the first touch
 *  -EBUSY    a mapping that is attached already
 *  -EROFS    LAZYMEM_ATTACH_WRITE_BACK, and a backing object that is read-only
 *  -EPERM    see lazymem_handler_check
 *  -EDEADLK  from a callback on a worker
 *  -EAGAIN  write_back_interval, and no thread is to be had
 *  -E2BIG, -ENOMEM, -EMFILE
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_handler_attach(struct lazymem_handler *handler,
					  struct lazymem_memory *memory,
					  const struct lazymem_attach_options *options,
					  struct lazymem_attachment **ret_attachment);

/* What to populate before faults ask for it. Since 0.1. */
struct lazymem_prefetch {
	size_t size;                              /* sizeof(struct lazymem_prefetch) */
	const struct lazymem_guest_range *ranges; /* copied; NULL: see trace */
	size_t range_count;
	const struct lazymem_trace *trace; /* copied; NULL and no ranges: everything */
	uint64_t bytes_per_second;         /* 0: as fast as demand leaves room for */
	uint64_t populate_bytes;           /* populate so many, from the first range on; what
					    * comes after is only read ahead, so that a later
					    * fault finds it cached. 0: all */
	uint64_t total_bytes;              /* and end after so many. 0: no end but the last range */
};

/* Queue a prefetch and return. Demand always goes first. Prefetches run one
 * after the other. NULL: everything. Parts of it that lie in no lazily filled region, and pages that
 * are there already, are passed over; poisoned pages are read again, and healed if that
 * succeeds. Ends early when 16 pages of it could not be read. -EDEADLK from a
 * callback on a worker, -EINVAL (a range that wraps, both ranges and a trace), -ESTALE (the
 * trace is bound to another image than that of this memory, see lazymem_memory_identity, and
 * than each of its backing objects: nothing is queued, and the restore may go on without it), -E2BIG, -ENOMEM. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_prefetch(struct lazymem_attachment *attachment,
					       const struct lazymem_prefetch *prefetch);

/* Wait until every prefetch queued so far has ended, at most timeout_ns
 * (UINT64_MAX: for ever). -ETIMEDOUT; -EDEADLK from a callback on a worker. Any
 * thread that serves no faults, while the owner neither finishes nor aborts. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_wait(struct lazymem_attachment *attachment,
					   uint64_t timeout_ns);

/* Populate everything, check that nothing is missing, put advised regions in
 * huge pages, unregister, close, and free the attachment. On failure it goes on being
 * served and stays valid: -EIO when pages could not be read or are poisoned
 * (the message says where the first one is), or what sync answers, for memory that is
 * written back: it is synced first, and what is written to it after that belongs
 * nowhere, so stop the guest before. A hole of the backing object is left to the kernel, which
 * fills it with the same zeros. The owner. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_finish(struct lazymem_attachment *attachment);

/* Let go without populating: every page that is not there and is not zero by
 * content is poisoned first (an access raises SIGBUS), so that none reads as a
 * false zero. Memory that is written back is synced first, as far as that can be
 * done: sync before to learn of errors. Frees the attachment. Waits for reads and
 * writes in flight. The owner. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_attachment_abort(struct lazymem_attachment *attachment);

/* The trace recorded so far: pages in the order of their first fault, bound to
 * lazymem_memory_identity where there is one, for the caller to destroy. -EINVAL without LAZYMEM_ATTACH_RECORD, -ENOMEM.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_trace(struct lazymem_attachment *attachment,
					    struct lazymem_trace **ret_trace);

/* ---- written pages ------------------------------------------------------- */

/* How the attachment tells them. With LAZYMEM_ATTACH_USERFAULTFD it is never
 * better than POPULATED, since nobody knows what that descriptor can do. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC enum lazymem_tracking
lazymem_attachment_tracking(const struct lazymem_attachment *attachment);

/* Add to `dirty`, a set for the attached guest memory, every page that was
 * written or discarded since it was populated or last collected, and forget it:
 * a page is told once, unless it is written again. A write that runs at the
 * same time is either told now (and then in memory when this returns) or by
 * the next call; none is lost. A page that was only populated is not told,
 * except where tracking is POPULATED. -EINVAL without LAZYMEM_ATTACH_TRACK, or for
 * a set for other regions; -ENOMEM; or what the kernel answered, and then
 * nothing is forgotten; -EDEADLK from a callback
 * on a worker. A discard at the same time may be told twice; so may any page, where
 * tracking is FAULTS, while threads discard without pause. Any thread that serves no
 * faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_collect(struct lazymem_attachment *attachment,
					      struct lazymem_dirty *dirty);

/* ---- views --------------------------------------------------------------- */

/* A view is one more host mapping of the memory of a region whose mapping is
 * shared (memfd, tmpfs, hugetlb): a second mapping in the same process, or the
 * ones of a program that knows nothing of this library. Its faults are served
 * like those of the region's own mapping, from the same pages: what one of them
 * has populated or discarded, all of them have.
 *
 * A mapping of that memory which is no view reads false zeros, and what it writes to a
 * page that is missing may be lost. */

#define LAZYMEM_VIEW_PRIVATE (1u << 0) /* mapped MAP_PRIVATE: what is written stays there */

/* One view. Since 0.1. */
struct lazymem_view {
	size_t size;                   /* sizeof(struct lazymem_view) */
	unsigned flags;                /* LAZYMEM_VIEW_* */
	void *host;                    /* of the first byte, a multiple of the page size */
	size_t length;                 /* bytes, likewise */
	lazymem_guest_address address; /* what is mapped there: inside one region */
};

/* Serve the faults of a view. It must not have been touched: map it PROT_NONE,
 * add it, and only then give it its protection. The range is kept out of
 * forked children. Where the first pages are populated, they are put in the
 * view that was added first, of those that have them.
 *  -EFAULT      the guest range lies in no lazily filled region, or in several
 *  -EINVAL      misaligned, unknown flags, not shared memory, or nothing is mapped there
 *  -EEXIST      the host range overlaps the region's own mapping or another view
 *  -EOPNOTSUPP  the kernel has no minor faults for this memory
 *  -EBUSY       the host range is registered with another userfaultfd
 *  -E2BIG, -ENOMEM
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_add_view(struct lazymem_attachment *attachment,
					       const struct lazymem_view *view);

/* Serve no more faults of the host range, which may be a part of a view, or of several,
 * or of none. Whoever calls it unmaps the range or maps something else there before anybody
 * can touch it: a page of it that is missing has nobody who brings it. -EINVAL when a
 * page of a view would be cut in two, -ENOMEM, and nothing is done. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_remove_view(struct lazymem_attachment *attachment, void *host,
						  size_t length);

/* ---- statistics ---------------------------------------------------------- */

/* Latency of every fault, from the moment a worker has read its message until
 * its thread was woken. Bucket i counts latencies in [lower(i), lower(i + 1)) nanoseconds,
 * where lower(i) is i for i < 8 and (8 + i % 8) << (i / 8 - 1) above: eight
 * buckets an octave, so at most one part in eight off; the last one is open. */
#define LAZYMEM_HISTOGRAM_BUCKETS 320

/* Counters since the attachment began. At rest, when no fault waits and the
 * worker has counted the last one (which it does just after the thread went
 * on),
 *   faults = copied + zeroed + moved + continued + coalesced + already_present + failed.
 * Since 0.1. */
struct lazymem_statistics {
	size_t size;               /* sizeof(struct lazymem_statistics) */
	uint64_t faults;           /* messages received */
	uint64_t copied;           /* ended by UFFDIO_COPY of bytes that were read */
	uint64_t zeroed;           /* ended by zeros: a hole, or a discarded page */
	uint64_t moved;            /* ended by UFFDIO_MOVE (none yet) */
	uint64_t continued;        /* ended by UFFDIO_CONTINUE */
	uint64_t coalesced;        /* waited for a page that was under way already */
	uint64_t already_present;  /* the page was there when the message was served */
	uint64_t failed;           /* ended in a poisoned page */
	uint64_t pages_total;      /* pages of all lazily filled regions */
	uint64_t pages_populated;  /* on demand and by prefetch; zero pages included */
	uint64_t pages_prefetched; /* of these, those no fault asked for */
	uint64_t pages_discarded;  /* pages that discards covered */
	uint64_t pages_poisoned;   /* poisoned now */
	uint64_t reads;            /* reads submitted to backing objects */
	uint64_t bytes_read;       /* bytes they delivered */
	uint64_t retries;          /* reads and populates tried again */
	uint64_t blocks_collapsed; /* 2 MiB blocks made huge pages */
	uint64_t latency[LAZYMEM_HISTOGRAM_BUCKETS]; /* faults by latency */
	uint64_t syncs;         /* of one region, or a part of it, that ended well */
	uint64_t failed_syncs;  /* and that failed, by whomever */
	uint64_t bytes_written; /* to the backing objects, by syncs */
};

/* A snapshot of the counters; ret_statistics->size is the caller's. -EINVAL
 * for a size below sizeof(size_t). Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_attachment_statistics(struct lazymem_attachment *attachment,
						 struct lazymem_statistics *ret_statistics);

/* The latency in nanoseconds that `quantile` (0 to 1) of the faults did not
 * exceed: the upper end of its bucket; 0 when there are none. Any thread. Since 0.1. */
LAZYMEM_PUBLIC uint64_t lazymem_statistics_quantile(const struct lazymem_statistics *statistics,
						    double quantile);

#ifdef __cplusplus
}
#endif
#endif
