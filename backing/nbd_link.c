/* SPDX-License-Identifier: MIT
 *
 * nbd_link.c - connections that are made again when they are lost, and what has
 * become of the server.
 *
 *            due                 the handshake is over
 *   DOWN ----------> CONNECTING ----------------------> UP
 *     ^                  |   refused, silent             |  lost, silent
 *     +------------------+-------------------------------+
 *
 * Each link comes up by itself. The pause before the next try is 1 ms at first,
 * doubles up to 1 s, and starts anew once the server has answered or has stayed for
 * a second: one that lets in and hangs up at once is not hammered.
 *
 * A link that owes an answer for longer than its patience is lost as well. Its
 * patience doubles with each such loss, until an answer comes: a server that is
 * merely slow is in the end waited for, instead of being asked the same for ever.
 *
 *   CONNECTED <----> LOST (no link is up) ----> GAVE_UP
 *        ^                                         |
 *        +-----------------------------------------+     any ----> STALE
 *
 * What decides about giving up is how long no server has answered, not how long
 * none was there: the time begins when a link is lost that owed an answer, or the last
 * one that was up, and goes on while others come up and are lost again without a
 * word. Having given up, reads fail, and links are tried as before.
 *
 * A role without links of its own borrows: a demand read goes over whatever link is
 * up; a background read over a demand link, only when no stream link could be had
 * for a while and nothing else is under way there. That is for servers which let in
 * one client only.
 */
#include "backing/nbd_object.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <lazymem/common.h>
#include <stdio.h>

#define LONGEST_PAUSE_NS LM_NS_PER_S
#define STAYED_NS LM_NS_PER_S
#define MOST_PATIENCE 64   /* times the timeout */
#define OPENING_PATIENCE 8 /* the same: asked for its holes at 1, 2 and 4 of them */
#define BORROW_NS LM_NS_PER_S

/* `now` was looked at earlier than some of the times here. */
static bool has_passed(uint64_t since, uint64_t nanoseconds, uint64_t now)
{
	return now >= since && now - since >= nanoseconds;
}

/* ---- what has become of the server ------------------------------------------- */

static void set_state(struct lm_nbd *object, enum lazymem_nbd_state state, const char *why)
{
	char sentence[LM_NBD_SENTENCE];

	if (object->state == state)
		return;
	object->state = state;
	if (object->on_state == NULL)
		return;
	snprintf(sentence, sizeof(sentence), "%s: %s", object->uri, why);
	object->on_state(object->context, state, sentence);
}

/* The first connection is there. */
static void say_opened(struct lm_nbd *object)
{
	pthread_mutex_lock(&object->lock);
	object->opened = true;
	pthread_cond_broadcast(&object->changed);
	pthread_mutex_unlock(&object->lock);
}

static unsigned all_up(const struct lm_nbd *object)
{
	return object->up[LM_NBD_DEMAND] + object->up[LM_NBD_BACKGROUND];
}

/* ---- a link goes down ----------------------------------------------------------- */

static void put_down(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	if (link->state == LM_NBD_LINK_UP) {
		if (has_passed(link->since, STAYED_NS, now))
			link->pause = LM_NBD_FIRST_PAUSE_NS;
		object->up[link->role]--;
		atomic_store(&object->counts.connections, all_up(object));
		if (link->role == LM_NBD_BACKGROUND && object->up[LM_NBD_BACKGROUND] == 0)
			object->no_stream_since = now;
	}
	lm_nbd_connection_destroy(link->connection);
	link->connection = NULL;
	link->state = LM_NBD_LINK_DOWN;
	link->since = now;
	link->due = now + link->pause;
	link->pause = lm_min(2 * link->pause, LONGEST_PAUSE_NS);
	link->owes = link->is_dead = false;
}

/* Every read, and whoever waits for the holes, ends with this error. */
static void refuse_all(struct lm_nbd *object, int error, const char *why)
{
	const uint64_t now = lm_clock_ns();

	lm_nbd_reads_refuse(&object->reads, error);
	for (unsigned i = 0; i < object->link_count; i++) {
		struct lm_nbd_link *link = &object->links[i];

		if (link->state == LM_NBD_LINK_DOWN)
			continue;
		put_down(object, link, now);
		lm_nbd_requests_take_back(object, link);
	}
	lm_nbd_requests_fail(object, error);
	lm_error(error, "%s: %s", object->uri, why);
	lm_nbd_scan_end(object, error);
}

void lm_nbd_links_end(struct lm_nbd *object, int error)
{
	object->ended = error;
	refuse_all(object, error, "the server was let go of");
}

/* While it is being opened, the first link is what tells whether there is a server.
 * One that is slow to tell its holes is asked again, with more patience each time; one
 * that never tells them is none. */
static bool decides_opening(const struct lm_nbd *object, const struct lm_nbd_link *link, int error)
{
	if (link == object->scan.link && error == -ETIMEDOUT)
		return link->patience >= OPENING_PATIENCE * object->timeout_ns;
	return link == object->links;
}

/* False: it was opened before. */
static bool fail_opening(struct lm_nbd *object, int error, const char *why)
{
	bool fails;

	pthread_mutex_lock(&object->lock);
	fails = object->is_opening;
	if (fails) {
		object->opened = true;
		object->open_error = error;
		snprintf(object->sentence, sizeof(object->sentence), "%s: %s", object->uri, why);
		pthread_cond_broadcast(&object->changed);
	}
	pthread_mutex_unlock(&object->lock);
	return fails;
}

static void lose(struct lm_nbd *object, struct lm_nbd_link *link, int error, const char *why,
		 uint64_t now)
{
	const bool decides = decides_opening(object, link, error);
	const bool owed = link->owes;
	char sentence[512];

	snprintf(sentence, sizeof(sentence), "%s", why); /* before what it is in goes away */
	put_down(object, link, now);
	lm_nbd_scan_lost(object, link);
	lm_nbd_requests_take_back(object, link);
	if (decides && fail_opening(object, error, sentence)) {
		object->ended = error;
		refuse_all(object, error, sentence);
		return;
	}
	if (object->silent_since == 0 && (owed || all_up(object) == 0))
		object->silent_since = now;
	if (object->state == LAZYMEM_NBD_CONNECTED && all_up(object) == 0)
		set_state(object, LAZYMEM_NBD_LOST, sentence);
}

static void lose_dead(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	lose(object, link, lm_nbd_connection_error(link->connection),
	     lm_nbd_connection_complaint(link->connection), now);
}

static void lose_silent(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t waited,
			uint64_t now)
{
	char sentence[128];

	snprintf(sentence, sizeof(sentence), "no answer for %" PRIu64 " ms", waited / 1000000);
	if (link->state == LM_NBD_LINK_UP)
		link->patience = lm_min(2 * link->patience, MOST_PATIENCE * object->timeout_ns);
	lose(object, link, -ETIMEDOUT, sentence, now);
}

static void give_up(struct lm_nbd *object, uint64_t now)
{
	char sentence[128];

	snprintf(sentence, sizeof(sentence), "no server has answered for %" PRIu64 " ms",
		 (now - object->silent_since) / 1000000);
	set_state(object, LAZYMEM_NBD_GAVE_UP, sentence);
	refuse_all(object, -ENOTCONN, sentence);
}

/* ---- a link comes up ------------------------------------------------------------- */

static void connect_link(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	int error = 0;

	link->connection = lm_nbd_connection_create(object->uri, object->timeout_ns, &error);
	link->since = now;
	if (link->connection == NULL) {
		lose(object, link, error, lazymem_error_message(), now);
		return;
	}
	link->state = LM_NBD_LINK_CONNECTING;
	lm_nbd_link_advance(object, link, 0);
}

static void say_stale(struct lm_nbd *object, uint64_t size)
{
	char sentence[128];

	snprintf(sentence, sizeof(sentence),
		 "its export had %" PRIu64 " bytes, and has %" PRIu64 " now", object->size, size);
	lm_nbd_links_end(object, -ESTALE);
	set_state(object, LAZYMEM_NBD_STALE, sentence);
}

static void welcome(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	link->state = LM_NBD_LINK_UP;
	link->since = now;
	object->up[link->role]++;
	if (link->was_up)
		atomic_fetch_add(&object->counts.reconnects, 1);
	link->was_up = true;
	atomic_store(&object->counts.connections, all_up(object));
	if (object->size == 0) {
		object->size = link->limits.size;
		object->no_stream_since = now;
		say_opened(object);
		return;
	}
	if (lm_nbd_reads_is_idle(&object->reads) && object->scan.state == LM_NBD_SCAN_IDLE)
		object->silent_since = 0;
	if (object->state != LAZYMEM_NBD_CONNECTED) {
		lm_nbd_reads_refuse(&object->reads, 0);
		set_state(object, LAZYMEM_NBD_CONNECTED, "connected again");
	}
}

static void come_up(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	const int error = lm_nbd_connection_limits(link->connection, &link->limits);

	if (error != 0)
		lose(object, link, error, lazymem_error_message(), now);
	else if (object->size != 0 && link->limits.size != object->size)
		say_stale(object, link->limits.size);
	else
		welcome(object, link, now);
}

void lm_nbd_link_advance(struct lm_nbd *object, struct lm_nbd_link *link, short revents)
{
	const enum lm_nbd_progress progress = lm_nbd_connection_advance(link->connection, revents);
	const uint64_t now = lm_clock_ns();

	if (progress == LM_NBD_DEAD)
		lose_dead(object, link, now);
	else if (progress == LM_NBD_UP && link->state == LM_NBD_LINK_CONNECTING)
		come_up(object, link, now);
}

/* ---- silence ------------------------------------------------------------------------ */

void lm_nbd_link_heard(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	link->last_heard = now;
	link->patience = object->timeout_ns;
	link->pause = LM_NBD_FIRST_PAUSE_NS;
	object->silent_since = 0;
}

void lm_nbd_link_owes(struct lm_nbd_link *link, uint64_t now)
{
	if (!link->owes)
		link->last_heard = now;
	link->owes = true;
}

static void tick(struct lm_nbd *object, struct lm_nbd_link *link, uint64_t now)
{
	if (link->state == LM_NBD_LINK_DOWN && now >= link->due)
		connect_link(object, link, now);
	else if (link->is_dead)
		lose_dead(object, link, now);
	else if (link->state == LM_NBD_LINK_CONNECTING &&
		 has_passed(link->since, object->timeout_ns, now))
		lose_silent(object, link, now - link->since, now);
	else if (link->owes && has_passed(link->last_heard, link->patience, now))
		lose_silent(object, link, now - link->last_heard, now);
}

/* Until the first link is up, nobody knows whether there is a server. */
static unsigned links_in_use(const struct lm_nbd *object)
{
	if (object->ended != 0)
		return 0;
	return object->size != 0 ? object->link_count : 1;
}

static bool may_give_up(const struct lm_nbd *object)
{
	return object->ended == 0 && object->give_up_ns != 0 && object->silent_since != 0 &&
	       object->state != LAZYMEM_NBD_GAVE_UP;
}

void lm_nbd_links_tick(struct lm_nbd *object, uint64_t now)
{
	for (unsigned i = 0; i < links_in_use(object); i++)
		tick(object, &object->links[i], now);
	if (may_give_up(object) && has_passed(object->silent_since, object->give_up_ns, now))
		give_up(object, now);
}

static uint64_t due_of(const struct lm_nbd *object, const struct lm_nbd_link *link)
{
	if (link->is_dead)
		return 0;
	if (link->state == LM_NBD_LINK_DOWN)
		return link->due;
	if (link->state == LM_NBD_LINK_CONNECTING)
		return link->since + object->timeout_ns;
	return link->owes ? link->last_heard + link->patience : UINT64_MAX;
}

uint64_t lm_nbd_links_due(const struct lm_nbd *object)
{
	uint64_t due = UINT64_MAX;

	for (unsigned i = 0; i < links_in_use(object); i++)
		due = lm_min(due, due_of(object, &object->links[i]));
	return may_give_up(object) ? lm_min(due, object->silent_since + object->give_up_ns) : due;
}

/* ---- which link to ask over ----------------------------------------------------------- */

/* The least busy one of a role. */
static struct lm_nbd_link *least_busy(struct lm_nbd *object, enum lm_nbd_role role)
{
	struct lm_nbd_link *best = NULL;

	for (unsigned i = 0; i < object->link_count; i++) {
		struct lm_nbd_link *link = &object->links[i];

		if (link->role != role || link->state != LM_NBD_LINK_UP || link->is_dead ||
		    link->count == LM_NBD_DEPTH)
			continue;
		if (best == NULL || link->bytes < best->bytes)
			best = link;
	}
	return best;
}

static struct lm_nbd_link *borrow(struct lm_nbd *object, enum lm_nbd_role role, uint64_t now,
				  uint64_t *ret_due)
{
	struct lm_nbd_link *link;

	if (role == LM_NBD_DEMAND)
		return least_busy(object, LM_NBD_BACKGROUND);
	link = least_busy(object, LM_NBD_DEMAND);
	if (link == NULL || link->count > 0)
		return NULL;
	if (has_passed(object->no_stream_since, BORROW_NS, now))
		return link;
	*ret_due = lm_min(*ret_due, object->no_stream_since + BORROW_NS);
	return NULL;
}

struct lm_nbd_link *lm_nbd_link_for(struct lm_nbd *object, enum lm_nbd_role role, uint64_t now,
				    uint64_t *ret_due)
{
	if (object->up[role] > 0)
		return least_busy(object, role);
	return borrow(object, role, now, ret_due);
}
