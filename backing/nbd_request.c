/* SPDX-License-Identifier: MIT
 *
 * nbd_request.c - bytes on their way over a link.
 *
 *   spare -> asked over a link -> answered -> spare
 *               ^          |           |
 *               +- again <-+-----------+
 *                     lost      more is left
 *
 * A request wants a range of one read. What is asked for is what the server takes:
 * no more than it says, and whole blocks of its own. Where the range does not
 * begin or end at one, that block is brought to a buffer of its own, and the part
 * that is wanted copied from there. So one request may be asked several times
 * until nothing of its range is left.
 *
 * Requests are made with the object. There are enough for every link to be full;
 * those that wait to be asked again keep theirs, and need no other one.
 */
#include "backing/nbd_object.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int lm_nbd_requests_create(struct lm_nbd *object)
{
	const size_t count = (size_t)object->link_count * LM_NBD_DEPTH;

	object->pool = calloc(count, sizeof(*object->pool));
	if (object->pool == NULL)
		return lm_error(-ENOMEM, "%s: no memory for %zu requests", object->uri, count);
	for (size_t i = 0; i < count; i++) {
		object->pool[i].object = object;
		object->pool[i].next = object->spare.first;
		object->spare.first = &object->pool[i];
	}
	return 0;
}

void lm_nbd_requests_destroy(struct lm_nbd *object)
{
	free(object->pool);
}

/* ---- lists ------------------------------------------------------------------ */

static void append(struct lm_nbd_requests *list, struct lm_nbd_request *request)
{
	request->next = NULL;
	request->previous = list->last;
	if (list->last != NULL)
		list->last->next = request;
	else
		list->first = request;
	list->last = request;
}

static void take_out(struct lm_nbd_requests *list, struct lm_nbd_request *request)
{
	if (request->previous != NULL)
		request->previous->next = request->next;
	else
		list->first = request->next;
	if (request->next != NULL)
		request->next->previous = request->previous;
	else
		list->last = request->previous;
}

static void make_spare(struct lm_nbd *object, struct lm_nbd_request *request)
{
	request->next = object->spare.first;
	object->spare.first = request;
}

static struct lm_nbd_request *take_spare(struct lm_nbd *object)
{
	struct lm_nbd_request *request = object->spare.first;

	if (request != NULL)
		object->spare.first = request->next;
	return request;
}

/* ---- answers ------------------------------------------------------------------ */

/* It is under way no more. */
static void leave_link(struct lm_nbd_request *request)
{
	struct lm_nbd_link *link = request->link;

	take_out(&link->requests, request);
	link->count--;
	link->bytes -= request->ask.length;
	link->owes = lm_nbd_link_is_owed(request->object, link);
	request->link = NULL;
}

static void free_bounce(struct lm_nbd_request *request)
{
	free(request->bounce);
	request->bounce = NULL;
}

static void end(struct lm_nbd_request *request, int error)
{
	struct lm_nbd *object = request->object;
	struct lm_nbd_read *read = request->left.read;

	make_spare(object, request);
	lm_nbd_reads_request_over(&object->reads, read, error);
}

/* The bytes have come. */
static void deliver(struct lm_nbd_request *request)
{
	struct lm_nbd_range *left = &request->left;
	struct lm_nbd_counts *counts = &request->object->counts;

	if (request->bounce != NULL)
		memcpy(left->buffer, request->bounce + (left->offset - request->ask.offset),
		       request->brings);
	free_bounce(request);
	left->offset += request->brings;
	left->buffer += request->brings;
	left->length -= request->brings;
	atomic_fetch_add_explicit(&counts->requests[request->role], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&counts->bytes[request->role], request->brings,
				  memory_order_relaxed);
	if (left->length > 0)
		append(&request->object->again, request);
	else
		end(request, 0);
}

static void answered(struct lm_nbd_ask *ask, int error)
{
	struct lm_nbd_request *request = (struct lm_nbd_request *)(void *)ask;
	struct lm_nbd *object = request->object;
	const uint64_t now = lm_clock_ns();

	lm_nbd_link_heard(object, request->link, now);
	leave_link(request);
	if (request->role == LM_NBD_BACKGROUND)
		lm_nbd_window_answered(&object->window, ask->length, request->sent, now);
	if (error == 0) {
		deliver(request);
		return;
	}
	free_bounce(request);
	atomic_fetch_add_explicit(&object->counts.failed, 1, memory_order_relaxed);
	end(request, error);
}

void lm_nbd_requests_take_back(struct lm_nbd *object, struct lm_nbd_link *link)
{
	struct lm_nbd_request *request;

	while ((request = link->requests.first) != NULL) {
		leave_link(request);
		free_bounce(request);
		if (request->role == LM_NBD_BACKGROUND)
			lm_nbd_window_lost(&object->window, request->ask.length);
		atomic_fetch_add_explicit(&object->counts.repeated, 1, memory_order_relaxed);
		append(&object->again, request);
	}
	if (object->reads.refusal != 0)
		lm_nbd_requests_fail(object, object->reads.refusal);
}

void lm_nbd_requests_fail(struct lm_nbd *object, int error)
{
	struct lm_nbd_request *request;

	while ((request = object->again.first) != NULL) {
		take_out(&object->again, request);
		end(request, error);
	}
}

/* ---- asking ---------------------------------------------------------------------- */

/* What to ask for, in the server's blocks, of a range that begins or ends inside
 * of one: that block alone. */
static bool ask_block(struct lm_nbd_request *request, const struct lm_nbd_link *link)
{
	const uint64_t least = link->limits.least;
	const uint64_t start = lm_align_down(request->left.offset, least);
	const uint64_t end = lm_min(start + least, request->object->size);

	request->bounce = malloc((size_t)(end - start));
	request->ask.offset = start;
	request->ask.length = (size_t)(end - start);
	request->ask.buffer = request->bounce;
	request->brings = (size_t)lm_min(end - request->left.offset, request->left.length);
	return request->bounce != NULL;
}

/* Set what is asked for over this link. False: no memory. */
static bool prepare(struct lm_nbd_request *request, const struct lm_nbd_link *link)
{
	const struct lm_nbd_range *left = &request->left;
	const struct lm_nbd_limits *limits = &link->limits;
	size_t length = (size_t)lm_min(left->length, limits->most);

	if (left->offset + length != request->object->size)
		length = (size_t)lm_align_down(length, limits->least);
	if (length == 0 || !lm_is_aligned(left->offset, limits->least))
		return ask_block(request, link);
	request->ask.offset = left->offset;
	request->ask.length = length;
	request->ask.buffer = left->buffer;
	request->brings = length;
	return true;
}

static void enter_link(struct lm_nbd_request *request, struct lm_nbd_link *link, uint64_t now)
{
	append(&link->requests, request);
	link->count++;
	link->bytes += request->ask.length;
	lm_nbd_link_owes(link, now);
	request->link = link;
	request->sent = now;
	if (request->role == LM_NBD_BACKGROUND)
		lm_nbd_window_sent(&request->object->window, request->ask.length, now);
}

/* What a dead connection was asked in vain is taken back with the rest. */
static void ask(struct lm_nbd_request *request, struct lm_nbd_link *link, enum lm_nbd_role role,
		uint64_t now)
{
	int error;

	if (!prepare(request, link)) {
		end(request, -ENOMEM);
		return;
	}
	request->role = role;
	request->ask.answered = answered;
	enter_link(request, link, now);
	error = lm_nbd_connection_ask(link->connection, &request->ask);
	if (error == 0)
		return;
	link->is_dead = lm_nbd_connection_advance(link->connection, 0) == LM_NBD_DEAD;
	if (!link->is_dead)
		answered(&request->ask, error);
}

/* The first one of this role that is to be asked again. */
static struct lm_nbd_request *take_again(struct lm_nbd *object, enum lm_nbd_role role)
{
	struct lm_nbd_request *request = object->again.first;

	while (request != NULL && lm_nbd_reads_role(&object->reads, request->left.read) != role)
		request = request->next;
	if (request != NULL)
		take_out(&object->again, request);
	return request;
}

/* The next request of a role, of at most so many bytes. NULL: nothing is wanted. */
static struct lm_nbd_request *next(struct lm_nbd *object, enum lm_nbd_role role, size_t most)
{
	struct lm_nbd_request *request = take_again(object, role);

	if (request != NULL)
		return request;
	request = take_spare(object);
	if (request == NULL)
		return NULL;
	if (lm_nbd_reads_next(&object->reads, role, most, &request->left))
		return request;
	make_spare(object, request);
	return NULL;
}

void lm_nbd_requests_send(struct lm_nbd *object, uint64_t now, uint64_t *ret_due)
{
	struct lm_nbd_request *request;
	struct lm_nbd_link *link;
	size_t room;

	while ((link = lm_nbd_link_for(object, LM_NBD_DEMAND, now, ret_due)) != NULL &&
	       (request = next(object, LM_NBD_DEMAND, LM_NBD_PIECE)) != NULL)
		ask(request, link, LM_NBD_DEMAND, now);
	while ((room = lm_nbd_window_room(&object->window, now, ret_due)) > 0 &&
	       (link = lm_nbd_link_for(object, LM_NBD_BACKGROUND, now, ret_due)) != NULL &&
	       (request = next(object, LM_NBD_BACKGROUND,
			       room > link->limits.least ? room : link->limits.least)) != NULL)
		ask(request, link, LM_NBD_BACKGROUND, now);
	atomic_store_explicit(&object->counts.window, object->window.size, memory_order_relaxed);
}
