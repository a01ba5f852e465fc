/* SPDX-License-Identifier: MIT
 *
 * receive_parts.h - what a destination is made of, for the files that make it up.
 */
#ifndef LAZYVM_RECEIVE_PARTS_H
#define LAZYVM_RECEIVE_PARTS_H

#include "receive.h"

#define GIVEN_UP_MOST 64

struct receiver {
	const struct receive_options *options;
	const struct monitor_options *monitor;
	struct door *door;
	int wake_fd;
	struct link link; /* to the source */
	struct arrival *arrival;
	uint64_t lost_ms; /* since when the link is gone; 0: it is there */
	unsigned char given_up[GIVEN_UP_MOST][WIRE_TOKEN];
	size_t given_up_count; /* also of those that were overwritten */
	bool is_told;          /* the source knows that it may end */
	pthread_t undertaker;  /* lets go of an arrival that was given up */
	bool has_undertaker;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	bool may_run;   /* the main thread may run the machine */
	bool has_ended; /* it has, and its machine goes on no more */
	int status;
};

/* ---- receive_visitors.c: on the talker's thread ------------------------------------ */

/* Whoever has come, if anybody has. */
void receiver_take_visitors(struct receiver *receiver);

/* The guest that arrives will not run, for the reason in fault_message(), and whoever asks
 * hears so. `type`: how the source is told now. */
void receiver_give_up(struct receiver *receiver, enum wire_type type);

/* Before the end: what was given up is let go of. */
void receiver_await_undertaker(struct receiver *receiver);

bool receiver_is_running(const struct receiver *receiver);

/* The connection to the source is gone. */
void receiver_lose(struct receiver *receiver);

enum link_result receiver_send_progress(struct receiver *receiver, enum wire_type type);

#endif
