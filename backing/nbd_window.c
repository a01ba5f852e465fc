/* SPDX-License-Identifier: MIT
 *
 * nbd_window.c - how much of the background reads is under way.
 *
 * The window grows by what is answered while it is full, so it doubles with each
 * round trip, and is halved by each demand read: what is under way already is all
 * that a demand read can have to share the line with. It stops growing, and
 * shrinks a little, once answers take much longer than the fastest ever did: then
 * a queue has built up somewhere on the way, which brings no byte earlier and
 * makes whoever waits wait longer. It never falls below one request, so the
 * stream goes on under any load.
 *
 * The cap spaces requests out: each one is due when the one before would be over
 * at that rate. With a low cap they are made shorter, so that the stream stays
 * smooth. What was not used of it is not saved up, but for one request.
 */
#include "backing/nbd_window.h"

#include "core/checked.h"
#include "core/clock.h"

/* What answers may take beyond twice the fastest one. */
#define QUEUE_NS UINT64_C(20000000)

/* With a cap, a request has the bytes of so much time, or this least. */
#define PIECES_PER_SECOND 100
#define SHORTEST_PIECE ((size_t)4 << 10)

void lm_nbd_window_init(struct lm_nbd_window *window, uint64_t bytes_per_second)
{
	*window = (struct lm_nbd_window){.size = LM_NBD_WINDOW_LEAST,
					 .bytes_per_second = bytes_per_second};
}

static size_t piece(const struct lm_nbd_window *window)
{
	const uint64_t wanted = window->bytes_per_second / PIECES_PER_SECOND;
	size_t length = LM_NBD_PIECE;

	if (window->bytes_per_second == 0)
		return length;
	while (length > SHORTEST_PIECE && length > wanted)
		length /= 2;
	return length;
}

/* At the capped rate, in ns. */
static uint64_t time_of(const struct lm_nbd_window *window, size_t length)
{
	return (uint64_t)((double)length * (double)LM_NS_PER_S / (double)window->bytes_per_second);
}

size_t lm_nbd_window_room(const struct lm_nbd_window *window, uint64_t now, uint64_t *ret_due)
{
	const size_t length = piece(window);

	if (window->in_flight != 0 && window->in_flight + length > window->size)
		return 0;
	if (window->due > now) {
		*ret_due = lm_min(*ret_due, window->due);
		return 0;
	}
	return length;
}

void lm_nbd_window_sent(struct lm_nbd_window *window, size_t length, uint64_t now)
{
	window->in_flight += length;
	if (window->bytes_per_second == 0)
		return;
	if (now > window->due && now - window->due > time_of(window, piece(window)))
		window->due = now;
	window->due += time_of(window, length);
}

static void set_size(struct lm_nbd_window *window, uint64_t size)
{
	window->size = size < LM_NBD_WINDOW_LEAST ? LM_NBD_WINDOW_LEAST : size;
}

/* Once for all that was under way together. */
static void shrink_for_queue(struct lm_nbd_window *window, uint64_t sent, uint64_t now)
{
	if (sent < window->last_queue)
		return;
	window->last_queue = now;
	set_size(window, window->size - window->size / 8);
}

void lm_nbd_window_answered(struct lm_nbd_window *window, size_t length, uint64_t sent,
			    uint64_t now)
{
	const uint64_t taken = now > sent ? now - sent : 0;
	const bool was_full = window->in_flight + piece(window) > window->size;

	window->in_flight -= length;
	if (window->shortest == 0 || taken < window->shortest)
		window->shortest = taken > 0 ? taken : 1;
	if (window->last_demand >= sent)
		return;
	if (taken > 2 * window->shortest + QUEUE_NS)
		shrink_for_queue(window, sent, now);
	else if (was_full)
		window->size = lm_min(window->size + length, LM_NBD_WINDOW_MOST);
}

void lm_nbd_window_lost(struct lm_nbd_window *window, size_t length)
{
	window->in_flight -= length;
}

void lm_nbd_window_demand(struct lm_nbd_window *window, uint64_t now)
{
	window->last_demand = now;
	set_size(window, window->size / 2);
}
