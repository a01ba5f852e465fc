/* SPDX-License-Identifier: MIT
 *
 * backing.h - the backing object: a flat array of bytes that guest memory is
 * filled from, and, where it is writable, written back to. This header is the
 * interface; file.h, bytes.h, zero.h and inject.h make objects of it, and a
 * monitor may make its own.
 *
 * A backing object is reference-counted and immutable in length. Every read,
 * write and flush goes through the dispatch in core, which checks the bounds,
 * zero-fills the part of the last page that lies past the end, and counts
 * completions; an implementation sees only what lies wholly inside the object.
 */
#ifndef LAZYMEM_BACKING_H
#define LAZYMEM_BACKING_H

#include <lazymem/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lazymem_backing;
struct lazymem_read;
struct lazymem_write;

/* Bytes of a read, and of a write, that its implementation may use as it likes
 * from the call of `read` or `write` until the completion, so that none needs
 * an allocation. */
#define LAZYMEM_READ_SCRATCH 128
#define LAZYMEM_WRITE_SCRATCH 128

/* Called once when a read is over; error is 0 or a negative errno value. There
 * is no byte count: a read that did not deliver every byte has failed. */
typedef void (*lazymem_read_completion)(struct lazymem_read *read, int error);

/* A flag of a read: nobody waits for it yet, so what is asked for without this
 * flag goes before it. Who waits after all says so with lazymem_backing_hurry.
 * Since 0.1. */
#define LAZYMEM_READ_BACKGROUND (1u << 0)

/* One part of a read in parts: `length` bytes at `offset` of the object. Since 0.1. */
struct lazymem_read_part {
	uint64_t offset;
	size_t length;
};

/* One read in flight. The caller fills the first block and keeps the struct
 * and the buffer alive until `complete` has been called; the rest belongs to
 * the dispatch and to the implementation. Since 0.1. */
struct lazymem_read {
	uint64_t offset;                  /* bytes, in the backing object */
	size_t length;                    /* bytes, above zero; of all parts, when there are any */
	void *buffer;                     /* receives `length` bytes */
	lazymem_read_completion complete; /* called exactly once */
	void *context;                    /* the caller's own */
	const struct lazymem_read_part *parts; /* NULL: `length` bytes at `offset`; else these
						* parts of the object, one after the other in the
						* buffer, and `offset` does not count. Kept alive
						* by the caller as the buffer is. Only for objects
						* that lazymem_backing_takes_parts */
	size_t part_count;
	unsigned flags; /* LAZYMEM_READ_*; wrappers hand them on */
	void *queue;    /* where the caller waits for I/O, opaque; NULL when it cannot: the
			 * implementation then blocks, or completes from a thread of its
			 * own. Wrappers hand it on as it is. */

	struct lazymem_backing *backing; /* set by the dispatch */
	size_t tail;                     /* of the dispatch: cut off `length`, past the end */
	unsigned char state;             /* of the dispatch */
	union {
		uint64_t align;
		void *pointer;
		unsigned char bytes[LAZYMEM_READ_SCRATCH];
	} scratch; /* the implementation's own */
};

/* Called once when a write or a flush is over; error is 0 or a negative errno
 * value. There is no byte count: a write that did not take every byte has
 * failed, and any part of it may have been written. */
typedef void (*lazymem_write_completion)(struct lazymem_write *write, int error);

/* One write in flight, or one flush, for which offset, length and buffer do not
 * count. The caller fills the first block and keeps the struct and the buffer,
 * unchanged, until `complete` has been called; the rest belongs to the dispatch
 * and to the implementation. Since 0.1. */
struct lazymem_write {
	uint64_t offset;                   /* bytes, in the backing object */
	size_t length;                     /* bytes, above zero */
	const void *buffer;                /* `length` bytes */
	lazymem_write_completion complete; /* called exactly once */
	void *context;                     /* the caller's own */
	void *queue;                       /* as that of a read */

	struct lazymem_backing *backing;           /* set by the dispatch */
	struct lazymem_write *next;                /* of the dispatch: flushes that are not over */
	uint64_t number, wait_for, known_failures; /* of the dispatch, for a flush */
	int error;                                 /* of the dispatch, for a flush */
	unsigned char state;                       /* of the dispatch */
	union {
		uint64_t align;
		void *pointer;
		unsigned char bytes[LAZYMEM_WRITE_SCRATCH];
	} scratch; /* the implementation's own */
};

/* What a run of bytes is made of. */
enum lazymem_extent_kind {
	LAZYMEM_EXTENT_DATA = 0, /* must be read */
	LAZYMEM_EXTENT_ZERO = 1, /* reads as zero: a hole, or known zeros */
};

/* `length` bytes from `start` on are of one kind. Since 0.1. */
struct lazymem_extent {
	uint64_t start;
	uint64_t length;
	enum lazymem_extent_kind kind;
};

/* What an implementation provides. Begin with sizeof(struct
 * lazymem_backing_operations). Since 0.1. */
struct lazymem_backing_operations {
	size_t size;

	/* Start one read and see to it that lazymem_read_complete is called for it
	 * exactly once: before returning, later from a completion of read->queue,
	 * or from any thread. Lies wholly inside the object. Called on any thread,
	 * several at once; must not touch lazily filled memory. */
	void (*read)(void *object, struct lazymem_read *read);

	/* The extent that `offset` lies in, cut to [offset, offset + length); may
	 * be shorter than what is asked for, never empty. Answers from memory, without I/O.
	 * NULL: everything is data. Any thread. */
	int (*extent)(void *object, uint64_t offset, uint64_t length,
		      struct lazymem_extent *ret_extent);

	/* The same for a read with parts, each of which lies wholly inside. An
	 * object has this operation when it can do more with all parts at once than
	 * with one after the other, as when they lie side by side where they are
	 * stored. NULL: it takes no parts. */
	void (*read_parts)(void *object, struct lazymem_read *read);

	/* Somebody waits for this read now, which was started in the background: bring
	 * it as one that never was. It may complete at the same time on another
	 * thread; so look for its address among the reads that are in flight, and
	 * touch nothing of it when it is none of them. Must not wait, nor complete
	 * it before it returns. NULL: nothing to gain. Any thread. */
	void (*hurry)(void *object, struct lazymem_read *read);

	/* What the bytes are known by. NULL, or -ENODATA: nothing. Without I/O. Any thread. */
	int (*identity)(void *object, struct lazymem_identity *ret_identity);

	/* These bytes will be read before long: advice, which may start I/O and
	 * must not wait for it. NULL: nothing to gain. Any thread. */
	void (*readahead)(void *object, uint64_t offset, uint64_t length);

	/* Start one write and see to it that lazymem_write_complete is called for
	 * it exactly once, under the rules of `read`. Lies wholly inside the object.
	 * The buffer may be lazily filled memory that is written back: to look at it may
	 * mean to wait for a worker, so hold no lock then that a read needs.
	 * Once it is over, reads give the new bytes, and an extent does not call
	 * them zero. NULL: the object is read-only. */
	void (*write)(void *object, struct lazymem_write *write);

	/* Start one flush, likewise: when it completes with 0, every write that was
	 * over, and every discard that had returned, before it was started is
	 * durable. NULL: they are as soon as they are over. Only with `write`. */
	void (*flush)(void *object, struct lazymem_write *flush);

	/* Turn these bytes, which lie wholly inside the object, into zeros, and into
	 * a hole where they can be one, before it returns. After a failure each of
	 * them is zero or as it was. NULL: unsupported. Only with `write`. Any
	 * thread; may block. */
	int (*discard)(void *object, uint64_t offset, uint64_t length);

	/* The last reference is gone and nothing is in flight. NULL: nothing to
	 * do. Any thread. */
	void (*close)(void *object);
};

/* Make a backing object of an implementation. `length` in bytes; `name` is
 * for messages (a path, for a file; NULL: "unnamed") and is copied. On failure
 * `close` is not called. -EINVAL for an incomplete table (no `read`; `flush` or
 * `discard` without `write`) or a length of zero,
 * -E2BIG for an unknown part of it that is not zero, -ENOMEM. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_create(const struct lazymem_backing_operations *operations,
					  void *object, uint64_t length, const char *name,
					  struct lazymem_backing **ret_backing);

/* One more reference; returns backing. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_backing *lazymem_backing_ref(struct lazymem_backing *backing);

/* One reference less; the last one closes the object. NULL is allowed. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_unref(struct lazymem_backing *backing);

/* Length in bytes; name as given. Any thread. Since 0.1. */
LAZYMEM_PUBLIC uint64_t lazymem_backing_length(const struct lazymem_backing *backing);
LAZYMEM_PUBLIC const char *lazymem_backing_name(const struct lazymem_backing *backing);

/* Start a read. It completes exactly once, possibly before this returns, on
 * this thread or on one of the object's. The caller keeps a reference to the
 * object until then; the completion may drop it. The read completes with
 * -ERANGE when it does not begin inside the object, with -EINVAL when it is
 * empty or wraps or has an unknown flag; bytes past the end of the object are
 * filled with zeros. After a failure the buffer holds nothing of use. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_submit(struct lazymem_backing *backing,
					   struct lazymem_read *read);

/* Say that somebody waits for a read that was submitted with
 * LAZYMEM_READ_BACKGROUND. It may be over already, but its struct is still there
 * and is not submitted again before this returns. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_hurry(struct lazymem_backing *backing,
					  struct lazymem_read *read);

/* May a read of this object have parts? Without it, such a read completes with
 * -EOPNOTSUPP; a part that does not lie wholly inside the object with -ERANGE.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC bool lazymem_backing_takes_parts(const struct lazymem_backing *backing);

/* Read and wait. Errors as for lazymem_backing_submit, and those of the
 * object. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_read(struct lazymem_backing *backing, uint64_t offset,
					void *buffer, size_t length);

/* ---- writing --------------------------------------------------------------
 *
 * Only objects that were made writable are. For every call below, a write, flush
 * or discard of one that is not is refused with -EROFS, and the message names
 * it. What is written or discarded lies wholly inside the object.
 *
 * Two writes of the same bytes at once, or a write and a discard or a read of
 * them, have no order: the bytes are then those of either.
 */

/* Can it be written? Any thread. Since 0.1. */
LAZYMEM_PUBLIC bool lazymem_backing_is_writable(const struct lazymem_backing *backing);

/* Start a write. It completes exactly once, as a read does: with 0 when later
 * reads give the new bytes, which are durable only after a flush. It completes
 * with -EROFS, with -EINVAL when it is empty or wraps, with -ERANGE when it does
 * not lie wholly inside the object, or with the object's error: any part of it
 * may have been written then. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_submit_write(struct lazymem_backing *backing,
						 struct lazymem_write *write);

/* Start a flush. When it completes with 0, every write that was over, and every
 * discard that had returned, before it was submitted is durable, unless a flush
 * had failed between the two. After one that failed, with -EROFS or the
 * object's error, none that came after the last good flush can be counted on:
 * the storage may have dropped it. Write it again before the next flush. Of
 * flushes that are in flight together, all fail when one does, so one may wait
 * for the others: do not block for it on a thread that has to complete another.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_submit_flush(struct lazymem_backing *backing,
						 struct lazymem_write *flush);

/* How many flushes of the object have failed so far. Who shares it with others
 * asks before the first write and after the flush: if another's flush failed in
 * between, the writes may be lost although the own flush has succeeded. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC uint64_t lazymem_backing_failed_flushes(const struct lazymem_backing *backing);

/* Write, or flush, and wait. Errors as above. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_write(struct lazymem_backing *backing, uint64_t offset,
					 const void *buffer, size_t length);
LAZYMEM_PUBLIC int lazymem_backing_flush(struct lazymem_backing *backing);

/* Turn `length` bytes from `offset` on into zeros, and into a hole where the
 * object can; durable after a flush. -EOPNOTSUPP when the object cannot (write
 * zeros then), -EROFS, -EINVAL and -ERANGE as for a write, or the object's own
 * error: each byte is then zero or as it was. May block. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_discard(struct lazymem_backing *backing, uint64_t offset,
					   uint64_t length);

/* ---- what the bytes are --------------------------------------------------- */

/* The extent at `offset`, at most `length` bytes of it; past the end of the
 * object everything is zero. -EINVAL when length is zero or offset + length
 * wraps, -EPROTO when the implementation's answer is not within what was
 * asked for, or its own error. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_extent(struct lazymem_backing *backing, uint64_t offset,
					  uint64_t length, struct lazymem_extent *ret_extent);

/* What the object's bytes are known by. -ENODATA when it cannot be told, or
 * the object's own error. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_backing_identity(struct lazymem_backing *backing,
					    struct lazymem_identity *ret_identity);

/* Say that these bytes will be read before long, so that an object with a
 * cache in front of slow storage may fill it. What lies past the end is
 * passed over. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_backing_readahead(struct lazymem_backing *backing, uint64_t offset,
					      uint64_t length);

/* For implementations: this read is over; error is 0, when every byte is in
 * the buffer, or a negative errno value. The object and the read may be gone
 * when this returns: touch neither. A second call for the same read and a
 * positive error are bugs of the implementation, and abort the process. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_read_complete(struct lazymem_read *read, int error);

/* The same for a write, when every byte is taken, and for a flush. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_write_complete(struct lazymem_write *write, int error);

#ifdef __cplusplus
}
#endif
#endif
