/* SPDX-License-Identifier: MIT
 *
 * nbd_fake.h - an NBD server in a thread of the test, for what no honest server
 * does: absurd sizes and limits, answers that lack bytes, extents that make no
 * sense, a connection that ends in the middle of an answer.
 */
#ifndef TEST_NBD_FAKE_H
#define TEST_NBD_FAKE_H

#include "harness.h"
#include <pthread.h>

enum nbd_misdeed {
	NBD_HONEST,
	NBD_NO_NBD,   /* greets as a server of something else */
	NBD_HANGS_UP, /* as soon as it was agreed on everything */
	/* answers to reads */
	NBD_LACKS_BYTES,     /* "done" after half of them */
	NBD_SENDS_NOTHING,   /* "done" at once */
	NBD_SENDS_TWICE,     /* the first half, and again the first half */
	NBD_SENDS_OUTSIDE,   /* bytes past those that were asked for */
	NBD_OTHER_COOKIE,    /* the answer to something that nobody has asked */
	NBD_GARBAGE,         /* no answer at all */
	NBD_ENDS_HALFWAY,    /* hangs up in the middle of the bytes */
	NBD_SHUTS_DOWN,      /* says so, in place of an answer */
	NBD_SENDS_BACKWARDS, /* in many pieces, the last one first: odd, but allowed */
	/* answers to block status */
	NBD_EXTENT_EMPTY, /* of no bytes */
	NBD_EXTENTS_NONE,
	NBD_EXTENTS_TWICE,
	NBD_EXTENTS_BEYOND, /* one begins past the end of the export */
	NBD_EXTENT_LONG,    /* ends past the end of the export */
	NBD_EXTENT_ERROR,   /* EIO */
};

struct nbd_fake {
	/* What it says; set before it is started. */
	uint64_t size;
	uint32_t least, most; /* block sizes; 0: it does not say */
	enum nbd_misdeed misdeed;
	unsigned misdeeds; /* how often, then it is honest */

	char uri[160];
	char socket[104];
	int listener;
	pthread_t thread;
	_Atomic unsigned connections; /* so far */
	_Atomic unsigned commands;
	_Atomic bool stopping;
};

/* Byte `offset` of its export. */
unsigned char nbd_fake_byte(uint64_t offset);

/* Listen, by a name that becomes the socket's. One connection at a time is served
 * by the thread; others wait. */
void nbd_fake_start(struct nbd_fake *fake, const char *name);
void nbd_fake_stop(struct nbd_fake *fake);

#endif
