/* SPDX-License-Identifier: MIT
 *
 * nbd_connection.h - one connection to an NBD server, and what is asked over it.
 * No policy: who reconnects, and what goes where, is not known here.
 */
#ifndef LM_NBD_CONNECTION_H
#define LM_NBD_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_nbd_connection;

/* Pieces that the bytes of one answer may leave open meanwhile; servers send them
 * in order, which takes one. */
#define LM_NBD_GAPS 8

/* Bytes from `offset` of the export on. The asker keeps it until `answered` is
 * called or the connection is destroyed. */
struct lm_nbd_ask {
	uint64_t offset;
	size_t length;
	void *buffer;
	/* Over, with 0 when every byte is there, or what the server said. Not called
	 * when the connection is lost. */
	void (*answered)(struct lm_nbd_ask *ask, int error);

	struct lm_nbd_connection *connection; /* set when it is asked */
	/* Of the connection: what was not brought yet. */
	struct lm_nbd_gap {
		size_t start, end;
	} gaps[LM_NBD_GAPS];
	unsigned gap_count;
};

/* The kinds of the bytes from `offset` on; as above. */
struct lm_nbd_extents_ask {
	uint64_t offset;
	uint32_t length;
	/* The next `length` bytes are zeros, or not. Not 0 ends it with an error. */
	int (*next)(struct lm_nbd_extents_ask *ask, uint64_t length, bool zero);
	void (*answered)(struct lm_nbd_extents_ask *ask, int error);

	struct lm_nbd_connection *connection; /* set when it is asked */
	unsigned told;                        /* of the connection: how often */
};

enum lm_nbd_progress {
	LM_NBD_CONNECTING,
	LM_NBD_UP,
	LM_NBD_DEAD, /* for good: destroy it */
};

/* What a server says of its export. */
struct lm_nbd_limits {
	uint64_t size;
	uint32_t least; /* bytes: requests are multiples of it, but for the end; a power of two */
	uint32_t most;  /* bytes of a request; a multiple of `least` */
	bool tells_extents;
};

/* Begin to connect; timeout_ns for what TCP waits for. NULL with *ret_error set
 * and a message: what the URI asks for is malformed or not there, or no memory.
 * A server that is not there may be told later. */
struct lm_nbd_connection *lm_nbd_connection_create(const char *uri, uint64_t timeout_ns,
						   int *ret_error);

/* Nothing that was asked is answered any more. NULL is allowed. */
void lm_nbd_connection_destroy(struct lm_nbd_connection *connection);

/* For poll(2). -1: there is nothing to wait for. */
int lm_nbd_connection_fd(const struct lm_nbd_connection *connection);
short lm_nbd_connection_events(const struct lm_nbd_connection *connection);

/* Go on as far as it goes without waiting; revents are what poll(2) said. */
enum lm_nbd_progress lm_nbd_connection_advance(struct lm_nbd_connection *connection, short revents);

/* Why it is dead: a negative errno value, and a sentence. */
int lm_nbd_connection_error(const struct lm_nbd_connection *connection);
const char *lm_nbd_connection_complaint(const struct lm_nbd_connection *connection);

/* Of one that is up. -EPROTO, -ENODATA, -EFBIG with a message. */
int lm_nbd_connection_limits(struct lm_nbd_connection *connection,
			     struct lm_nbd_limits *ret_limits);

/* Ask. A negative errno value: it was not asked, and is not answered. */
int lm_nbd_connection_ask(struct lm_nbd_connection *connection, struct lm_nbd_ask *ask);
int lm_nbd_connection_ask_extents(struct lm_nbd_connection *connection,
				  struct lm_nbd_extents_ask *ask);

#endif
