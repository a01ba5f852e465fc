/* SPDX-License-Identifier: MIT
 *
 * nbd.h - an export of an NBD server as a backing object, read-only. Any server
 * will do: nbdkit, qemu-nbd, and through their plugins whatever they read from.
 *
 * Demand reads and background reads (LAZYMEM_READ_BACKGROUND) have connections of
 * their own, so that no bulk transfer is in front of a fault. A connection that is
 * lost is made again, and what was asked over it is asked again: whoever reads
 * sees no error, only a delay.
 *
 * An export that is read only may have several connections whatever the server
 * says of them ("multi-conn" is about writes); one that does not let them in is
 * used over those that it does.
 */
#ifndef LAZYMEM_NBD_H
#define LAZYMEM_NBD_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of struct lazymem_nbd_options. */

/* Do not ask for holes when it is opened: everything is data until
 * lazymem_nbd_update_extents. For an export that does not hold still yet. */
#define LAZYMEM_NBD_LAZY_EXTENTS (1u << 0)

/* What has become of the server. Since 0.1. */
enum lazymem_nbd_state {
	LAZYMEM_NBD_CONNECTED, /* again, after it was lost */
	LAZYMEM_NBD_LOST,      /* no connection is left; they are being made again */
	LAZYMEM_NBD_GAVE_UP,   /* for too long: reads fail until it is connected again */
	LAZYMEM_NBD_STALE,     /* it came back with another export: reads fail for good */
};

/* How an export is opened. NULL in place of a pointer to it means the defaults.
 * Since 0.1. */
struct lazymem_nbd_options {
	size_t size;                 /* sizeof(struct lazymem_nbd_options) */
	unsigned flags;              /* LAZYMEM_NBD_* */
	unsigned demand_connections; /* for reads that somebody waits for; 0: 1 */
	unsigned stream_connections; /* for background reads; 0: 2 */
	uint64_t bytes_per_second;   /* of background reads, at most; 0: no limit */
	uint64_t give_up_ns;         /* reads fail with -ENOTCONN when no server has answered for
				      * so long; 0: never, they wait */
	uint64_t timeout_ns;         /* a connection that owes an answer, and has given none for so
				      * long, counts as lost; 0: 10 s */
	const struct lazymem_identity *identity; /* what the bytes are known by, which is copied;
						  * NULL: nothing tells */
	/* Called when the state changes, with a sentence that says why, on the thread
	 * of the object, which brings nothing meanwhile. NULL: nobody is told. */
	void (*on_state)(void *context, enum lazymem_nbd_state state, const char *sentence);
	void *context;
};

/* The export that a URI names: nbd://HOST[:PORT]/EXPORT,
 * nbd+unix:///EXPORT?socket=PATH, and nbds:// and nbds+unix:// for TLS (with
 * tls-certificates=DIRECTORY or tls-psk-file=FILE), as the NBD project defines
 * them. Waits for the first connection and, without LAZYMEM_NBD_LAZY_EXTENTS, for
 * the holes. The bytes of the export must not change while it is read. Drop the
 * last reference before the program exits: libnbd ends a program whose thread still
 * uses it then.
 *
 * -EPROTONOSUPPORT when this library was built without libnbd, or libnbd without
 * what the URI asks for; -EINVAL for no URI, a malformed one, an unknown flag and
 * more than 16 connections of a kind; -EPROTO for a server that breaks the
 * protocol or has absurd limits, -ENODATA for an empty export, -EFBIG for one
 * above 2^56 bytes, -ETIMEDOUT, -E2BIG for an unknown option, -ENOMEM, and what
 * connecting to the server answered. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_nbd_open(const char *uri, const struct lazymem_nbd_options *options,
				    struct lazymem_backing **ret_backing);

/* Ask for the holes now, and wait for the answer; from then on they are known.
 * 0 as well for a server that cannot tell: everything is data then. -ENOTCONN
 * when it gave up, -ESTALE, -EPROTO for an answer that makes no sense, -EDEADLK on
 * the object's own thread, -EINVAL for another kind of object, -ENOMEM, or the
 * server's error; after a failure what was known stays. Any thread but the object's.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_nbd_update_extents(struct lazymem_backing *backing);

/* Let go of the server: every read in flight, and every one to come, fails with
 * -ENOTCONN for good. For whoever has to abort an attachment whose source may
 * never come back. -EINVAL for another kind of object. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_nbd_give_up(struct lazymem_backing *backing);

/* Since it was opened. Since 0.1. */
struct lazymem_nbd_statistics {
	size_t size;                  /* sizeof(struct lazymem_nbd_statistics) */
	uint64_t connections;         /* that are there now */
	uint64_t reconnects;          /* connections made in place of lost ones */
	uint64_t demand_requests;     /* answered, over demand connections */
	uint64_t demand_bytes;        /* brought by them */
	uint64_t background_requests; /* the same, of background reads */
	uint64_t background_bytes;
	uint64_t repeated_requests; /* asked again because the connection was lost */
	uint64_t failed_requests;   /* answered with an error */
	uint64_t hurried_reads;     /* background reads that somebody came to wait for */
	uint64_t window;            /* bytes of background reads that may be under way now */
};

/* -EINVAL for another kind of object and for a size that makes no sense, -E2BIG.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_nbd_get_statistics(struct lazymem_backing *backing,
					      struct lazymem_nbd_statistics *ret_statistics);

#ifdef __cplusplus
}
#endif
#endif
