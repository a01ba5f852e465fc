/* SPDX-License-Identifier: MIT
 *
 * nbd_reads.c - the reads of an NBD object that are not over.
 *
 *              add                 all of it is asked for           the last request is over
 *   (any) ----------> unasked[role] ----------------------> asked ----------------------------> complete
 *
 * A read lives in its own scratch bytes, so nothing is allocated for it. It is in
 * exactly one list until it is over, which is what lets hurry, which knows an
 * address only, find out whether there is such a read.
 *
 * The lock guards all of it and is never held while a completion runs, which may
 * submit the next read or drop the last reference to the object.
 */
#include "backing/nbd_reads.h"

#include "core/checked.h"

#include <assert.h>

_Static_assert(sizeof(struct lm_nbd_read) <= LAZYMEM_READ_SCRATCH, "it lives there");

void lm_nbd_reads_init(struct lm_nbd_reads *reads)
{
	*reads = (struct lm_nbd_reads){.sleeps = false};
	pthread_mutex_init(&reads->lock, NULL);
}

void lm_nbd_reads_destroy(struct lm_nbd_reads *reads)
{
	pthread_mutex_destroy(&reads->lock);
}

/* ---- lists, under the lock --------------------------------------------------- */

static void append(struct lm_nbd_read_list *list, struct lm_nbd_read *read)
{
	read->list = list;
	read->next = NULL;
	read->previous = list->last;
	if (list->last != NULL)
		list->last->next = read;
	else
		list->first = read;
	list->last = read;
}

static void take_out(struct lm_nbd_read *read)
{
	struct lm_nbd_read_list *list = read->list;

	if (read->previous != NULL)
		read->previous->next = read->next;
	else
		list->first = read->next;
	if (read->next != NULL)
		read->next->previous = read->previous;
	else
		list->last = read->previous;
}

/* NULL: it is none of those in the list. */
static struct lm_nbd_read *find(const struct lm_nbd_read_list *list,
				const struct lazymem_read *read)
{
	for (struct lm_nbd_read *own = list->first; own != NULL; own = own->next)
		if (own->read == read)
			return own;
	return NULL;
}

/* Has the thread to be woken? Once is enough. */
static bool wake(struct lm_nbd_reads *reads)
{
	const bool sleeps = reads->sleeps;

	reads->sleeps = false;
	return sleeps;
}

/* ---- any thread ---------------------------------------------------------------- */

bool lm_nbd_reads_add(struct lm_nbd_reads *reads, struct lazymem_read *read)
{
	struct lm_nbd_read *own = (struct lm_nbd_read *)(void *)read->scratch.bytes;
	const bool is_background = (read->flags & LAZYMEM_READ_BACKGROUND) != 0;
	bool wakes = false;
	int refusal;

	*own = (struct lm_nbd_read){
		.read = read,
		.role = is_background ? LM_NBD_BACKGROUND : LM_NBD_DEMAND,
	};
	pthread_mutex_lock(&reads->lock);
	refusal = reads->refusal;
	if (refusal == 0) {
		append(&reads->unasked[own->role], own);
		reads->arrivals += !is_background;
		wakes = wake(reads);
	}
	pthread_mutex_unlock(&reads->lock);
	if (refusal != 0)
		lazymem_read_complete(read, refusal);
	return wakes;
}

bool lm_nbd_reads_hurry(struct lm_nbd_reads *reads, const struct lazymem_read *read)
{
	struct lm_nbd_read *own;
	bool wakes = false;

	pthread_mutex_lock(&reads->lock);
	own = find(&reads->unasked[LM_NBD_BACKGROUND], read);
	if (own != NULL) {
		take_out(own);
		append(&reads->unasked[LM_NBD_DEMAND], own);
	} else {
		own = find(&reads->asked, read); /* it may have to be asked for again */
	}
	if (own != NULL && own->role == LM_NBD_BACKGROUND) {
		own->role = LM_NBD_DEMAND;
		reads->arrivals++;
		reads->hurries++;
		wakes = wake(reads);
	}
	pthread_mutex_unlock(&reads->lock);
	return wakes;
}

/* ---- the thread ------------------------------------------------------------------ */

bool lm_nbd_reads_is_idle(struct lm_nbd_reads *reads)
{
	bool idle;

	pthread_mutex_lock(&reads->lock);
	idle = reads->unasked[LM_NBD_DEMAND].first == NULL &&
	       reads->unasked[LM_NBD_BACKGROUND].first == NULL && reads->asked.first == NULL;
	pthread_mutex_unlock(&reads->lock);
	return idle;
}

/* Cut the next bytes off a read. */
static struct lm_nbd_range cut(struct lm_nbd_read *own, size_t most)
{
	const struct lazymem_read *read = own->read;
	const struct lazymem_read_part whole = {read->offset, read->length};
	const struct lazymem_read_part *part =
		read->parts != NULL ? &read->parts[own->part] : &whole;
	const struct lm_nbd_range range = {
		.read = own,
		.offset = part->offset + own->in_part,
		.length = (size_t)lm_min(part->length - own->in_part, most),
		.buffer = (unsigned char *)read->buffer + own->asked,
	};

	own->asked += range.length;
	own->in_part += range.length;
	if (own->in_part == part->length) {
		own->part++;
		own->in_part = 0;
	}
	return range;
}

bool lm_nbd_reads_next(struct lm_nbd_reads *reads, enum lm_nbd_role role, size_t most,
		       struct lm_nbd_range *ret_range)
{
	struct lm_nbd_read *own;

	pthread_mutex_lock(&reads->lock);
	own = reads->unasked[role].first;
	if (own != NULL) {
		*ret_range = cut(own, most);
		own->requests++;
		if (own->asked == own->read->length) {
			take_out(own);
			append(&reads->asked, own);
		}
	}
	pthread_mutex_unlock(&reads->lock);
	return own != NULL;
}

enum lm_nbd_role lm_nbd_reads_role(struct lm_nbd_reads *reads, const struct lm_nbd_read *read)
{
	enum lm_nbd_role role;

	pthread_mutex_lock(&reads->lock);
	role = read->role;
	pthread_mutex_unlock(&reads->lock);
	return role;
}

void lm_nbd_reads_request_over(struct lm_nbd_reads *reads, struct lm_nbd_read *own, int error)
{
	bool is_over;

	pthread_mutex_lock(&reads->lock);
	assert(own->requests > 0);
	own->requests--;
	if (own->error == 0 && error != 0) {
		own->error = error;
		own->asked = own->read->length;
		take_out(own);
		append(&reads->asked, own);
	}
	is_over = own->requests == 0 && own->asked == own->read->length;
	if (is_over)
		take_out(own);
	error = own->error;
	pthread_mutex_unlock(&reads->lock);
	if (is_over)
		lazymem_read_complete(own->read, error);
}

/* Take everything that has not been asked for out of a list; what has requests
 * under way ends with the last of them, the rest is returned. */
static struct lm_nbd_read *cut_short(struct lm_nbd_reads *reads, enum lm_nbd_role role, int error,
				     struct lm_nbd_read *ended)
{
	struct lm_nbd_read *own;

	while ((own = reads->unasked[role].first) != NULL) {
		take_out(own);
		own->error = error;
		own->asked = own->read->length;
		if (own->requests > 0) {
			append(&reads->asked, own);
		} else {
			own->next = ended;
			ended = own;
		}
	}
	return ended;
}

void lm_nbd_reads_refuse(struct lm_nbd_reads *reads, int error)
{
	struct lm_nbd_read *ended = NULL;

	pthread_mutex_lock(&reads->lock);
	reads->refusal = error;
	for (int role = 0; error != 0 && role < LM_NBD_ROLES; role++)
		ended = cut_short(reads, (enum lm_nbd_role)role, error, ended);
	pthread_mutex_unlock(&reads->lock);
	while (ended != NULL) {
		struct lm_nbd_read *own = ended;

		ended = own->next;
		lazymem_read_complete(own->read, error);
	}
}
