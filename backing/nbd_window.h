/* SPDX-License-Identifier: MIT
 *
 * nbd_window.h - how much of the background reads may be under way, and when the
 * next of them may go off.
 */
#ifndef LM_NBD_WINDOW_H
#define LM_NBD_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of one request, at most: so much that its cost is spread, so little that
 * what comes behind it does not wait for long. */
#define LM_NBD_PIECE ((size_t)128 << 10)

#define LM_NBD_WINDOW_LEAST ((uint64_t)LM_NBD_PIECE)
#define LM_NBD_WINDOW_MOST ((uint64_t)16 << 20)

struct lm_nbd_window {
	uint64_t size;             /* bytes that may be under way */
	uint64_t in_flight;        /* bytes that are */
	uint64_t bytes_per_second; /* 0: no limit */
	uint64_t due;              /* nothing goes off before, ns */
	uint64_t last_demand;      /* when somebody last came to wait, ns */
	uint64_t last_queue;       /* when it last shrank because of a queue, ns */
	uint64_t shortest;         /* an answer ever took, ns; 0: none came yet */
};

void lm_nbd_window_init(struct lm_nbd_window *window, uint64_t bytes_per_second);

/* Bytes that the next request may have; 0: not now, and *ret_due is lowered to
 * when to ask again, if that is a matter of time. */
size_t lm_nbd_window_room(const struct lm_nbd_window *window, uint64_t now, uint64_t *ret_due);

/* A request went off; it was answered after having gone off at `sent`; it will not
 * be answered. */
void lm_nbd_window_sent(struct lm_nbd_window *window, size_t length, uint64_t now);
void lm_nbd_window_answered(struct lm_nbd_window *window, size_t length, uint64_t sent,
			    uint64_t now);
void lm_nbd_window_lost(struct lm_nbd_window *window, size_t length);

/* Somebody waits for a read of his own. */
void lm_nbd_window_demand(struct lm_nbd_window *window, uint64_t now);

#endif
