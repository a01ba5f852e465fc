/* SPDX-License-Identifier: MIT
 *
 * nbd_scan.c - asking an NBD server which of its bytes are zeros.
 *
 * The export is gone through from its beginning, with one question at a time, and
 * what comes is collected in a map of its own, which takes the place of the one in
 * use when all of it is known. When the link is lost, the scan begins anew over
 * another one: the server may be another one as well.
 *
 * Only what the server says reads as zero does so here; a hole that may hold
 * anything is data. A server cannot keep a scan busy for ever: each answer has to
 * advance, an extent that begins past the end is an error, and after a great many
 * answers or extents the rest counts as data.
 */
#include "backing/nbd_object.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define QUESTION (UINT64_C(1) << 30) /* bytes that one question is about */
#define MOST_ANSWERS (1u << 20)
#define MOST_EXTENTS ((size_t)1 << 22)

static void tell(struct lm_nbd *object, int error)
{
	pthread_mutex_lock(&object->lock);
	object->scan_over = true;
	object->scan_error = error;
	if (error != 0)
		snprintf(object->sentence, sizeof(object->sentence), "%s", lazymem_error_message());
	pthread_cond_broadcast(&object->changed);
	pthread_mutex_unlock(&object->lock);
}

void lm_nbd_scan_end(struct lm_nbd *object, int error)
{
	struct lm_nbd_scan *scan = &object->scan;

	if (scan->state == LM_NBD_SCAN_IDLE)
		return;
	lm_extent_map_destroy(&scan->map);
	scan->state = LM_NBD_SCAN_IDLE;
	scan->link = NULL;
	tell(object, error);
}

/* The map is whole. */
static void publish(struct lm_nbd *object)
{
	struct lm_nbd_scan *scan = &object->scan;
	struct lm_extent_map old;

	pthread_rwlock_wrlock(&object->map_lock);
	old = object->map;
	object->map = scan->map;
	object->has_map = true;
	pthread_rwlock_unlock(&object->map_lock);
	scan->map = old;
	lm_nbd_scan_end(object, 0);
}

static int next_extent(struct lm_nbd_extents_ask *ask, uint64_t length, bool zero)
{
	struct lm_nbd_scan *scan = (struct lm_nbd_scan *)(void *)ask;
	const uint64_t left = scan->map.length - scan->offset;
	int error = 0;

	if (left == 0)
		return lm_error(-EPROTO, "%s: an extent lies past the end of the export",
				scan->object->uri);
	length = lm_min(length, left);
	if (!zero)
		error = lm_extent_map_add(&scan->map, scan->offset, length);
	scan->offset += length;
	return error;
}

static void answered(struct lm_nbd_extents_ask *ask, int error)
{
	struct lm_nbd_scan *scan = (struct lm_nbd_scan *)(void *)ask;
	struct lm_nbd *object = scan->object;

	scan->state = LM_NBD_SCAN_NEXT;
	lm_nbd_link_heard(object, scan->link, lm_clock_ns());
	scan->link->owes = lm_nbd_link_is_owed(object, scan->link);
	if (error != 0)
		lm_error_errno(error, "%s: the server does not tell its holes at %" PRIu64,
			       object->uri, scan->offset);
	if (error == 0 && scan->offset < object->size &&
	    (++scan->answers == MOST_ANSWERS || scan->map.count >= MOST_EXTENTS)) {
		error = lm_extent_map_add(&scan->map, scan->offset, object->size - scan->offset);
		scan->offset = object->size;
	}
	if (error != 0)
		lm_nbd_scan_end(object, error);
	else if (scan->offset == object->size)
		publish(object);
}

/* A connection that cannot be asked is dead, and with it this try. */
static void ask(struct lm_nbd_scan *scan, uint64_t now)
{
	struct lm_nbd_link *link = scan->link;
	int error;

	scan->ask.offset = scan->offset;
	scan->ask.length = (uint32_t)lm_min(QUESTION, scan->object->size - scan->offset);
	scan->ask.next = next_extent;
	scan->ask.answered = answered;
	scan->state = LM_NBD_SCAN_ASKED;
	lm_nbd_link_owes(link, now);
	error = lm_nbd_connection_ask_extents(link->connection, &scan->ask);
	if (error == 0)
		return;
	link->is_dead = lm_nbd_connection_advance(link->connection, 0) == LM_NBD_DEAD;
	if (!link->is_dead)
		answered(&scan->ask, error);
}

/* A server that does not tell: everything is data. */
static void call_all_data(struct lm_nbd *object)
{
	const int error = lm_extent_map_add(&object->scan.map, 0, object->size);

	if (error != 0)
		lm_nbd_scan_end(object, error);
	else
		publish(object);
}

static void begin(struct lm_nbd *object, uint64_t now)
{
	struct lm_nbd_scan *scan = &object->scan;
	uint64_t due = UINT64_MAX;
	struct lm_nbd_link *link = lm_nbd_link_for(object, LM_NBD_BACKGROUND, now, &due);

	if (link == NULL)
		link = lm_nbd_link_for(object, LM_NBD_DEMAND, now, &due);
	if (link == NULL)
		return;
	lm_extent_map_init(&scan->map, object->size);
	scan->link = link;
	scan->offset = 0;
	scan->answers = 0;
	if (link->limits.tells_extents)
		ask(scan, now);
	else
		call_all_data(object);
}

void lm_nbd_scan_go_on(struct lm_nbd *object, uint64_t now)
{
	struct lm_nbd_scan *scan = &object->scan;
	bool is_wanted;

	pthread_mutex_lock(&object->lock);
	is_wanted = object->scan_wanted;
	object->scan_wanted = false;
	pthread_mutex_unlock(&object->lock);
	if (is_wanted)
		scan->state = LM_NBD_SCAN_WANTED;
	if (scan->state != LM_NBD_SCAN_IDLE && object->reads.refusal != 0) {
		lm_error_errno(object->reads.refusal, "%s: no holes are known", object->uri);
		lm_nbd_scan_end(object, object->reads.refusal);
	}
	if (scan->state == LM_NBD_SCAN_NEXT)
		ask(scan, now);
	else if (scan->state == LM_NBD_SCAN_WANTED)
		begin(object, now);
}

void lm_nbd_scan_lost(struct lm_nbd *object, const struct lm_nbd_link *link)
{
	struct lm_nbd_scan *scan = &object->scan;

	if (scan->link != link)
		return;
	lm_extent_map_destroy(&scan->map);
	scan->link = NULL;
	scan->state = LM_NBD_SCAN_WANTED;
}
