/* SPDX-License-Identifier: MIT
 *
 * parts.c - reads in parts for an object that reads ranges.
 *
 * The parts become reads of the object's own, as many in flight as there are,
 * up to PARTS_AT_ONCE; then the next ones. A disk does with all of them at once
 * what it could not do with one after the other, and whoever waits, waits once.
 *
 * `pending` counts the reads in flight, and one for whoever submits them; who
 * takes it to zero goes on, on whatever thread that is, so exactly one has the
 * state at any time. A queue belongs to one thread: what is left when the last
 * read ended on another one is read without it. States go back to the pool
 * before the read completes, since that may drop the last reference.
 */
#include "backing/parts.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PARTS_AT_ONCE 128

struct lm_parts {
	struct lm_parts *next; /* among the spare ones */
	struct lm_parts_pool *pool;
	struct lazymem_read *outer;
	pthread_t thread; /* that outer->queue belongs to */
	size_t submitted; /* parts */
	unsigned char *to;
	atomic_uint pending;
	atomic_int error; /* the first one */
	struct lazymem_read reads[PARTS_AT_ONCE];
};

void lm_parts_create(struct lm_parts_pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->spare = NULL;
}

void lm_parts_destroy(struct lm_parts_pool *pool)
{
	while (pool->spare != NULL) {
		struct lm_parts *parts = pool->spare;

		pool->spare = parts->next;
		free(parts);
	}
	pthread_mutex_destroy(&pool->lock);
}

static struct lm_parts *take(struct lm_parts_pool *pool)
{
	struct lm_parts *parts;

	pthread_mutex_lock(&pool->lock);
	parts = pool->spare;
	if (parts != NULL)
		pool->spare = parts->next;
	pthread_mutex_unlock(&pool->lock);
	if (parts != NULL)
		return parts;
	parts = malloc(sizeof(*parts));
	if (parts != NULL)
		parts->pool = pool;
	return parts;
}

static void give_back(struct lm_parts *parts)
{
	struct lm_parts_pool *pool = parts->pool;

	pthread_mutex_lock(&pool->lock);
	parts->next = pool->spare;
	pool->spare = parts;
	pthread_mutex_unlock(&pool->lock);
}

static void go_on(struct lm_parts *parts);

static void part_completed(struct lazymem_read *read, int error)
{
	struct lm_parts *parts = read->context;
	int none = 0;

	if (error != 0)
		atomic_compare_exchange_strong(&parts->error, &none, error);
	if (atomic_fetch_sub_explicit(&parts->pending, 1, memory_order_acq_rel) == 1)
		go_on(parts);
}

/* Submit the next parts; true when all of them are over already. */
static bool submit_some(struct lm_parts *parts)
{
	struct lazymem_read *outer = parts->outer;
	const size_t left = outer->part_count - parts->submitted;
	const size_t count = left < PARTS_AT_ONCE ? left : PARTS_AT_ONCE;
	void *queue = pthread_equal(pthread_self(), parts->thread) ? outer->queue : NULL;

	atomic_store_explicit(&parts->pending, (unsigned)count + 1, memory_order_relaxed);
	for (size_t i = 0; i < count; i++) {
		const struct lazymem_read_part *part = &outer->parts[parts->submitted++];
		struct lazymem_read *read = &parts->reads[i];

		read->offset = part->offset;
		read->length = part->length;
		read->buffer = parts->to;
		read->complete = part_completed;
		read->context = parts;
		read->parts = NULL;
		read->flags = outer->flags;
		read->queue = queue;
		parts->to += part->length;
		lazymem_backing_submit(outer->backing, read);
	}
	return atomic_fetch_sub_explicit(&parts->pending, 1, memory_order_acq_rel) == 1;
}

static void go_on(struct lm_parts *parts)
{
	struct lazymem_read *outer = parts->outer;
	int error = atomic_load(&parts->error);

	while (error == 0 && parts->submitted < outer->part_count) {
		if (!submit_some(parts))
			return;
		error = atomic_load(&parts->error);
	}
	give_back(parts);
	lazymem_read_complete(outer, error);
}

void lm_parts_submit(struct lm_parts_pool *pool, struct lazymem_read *read)
{
	struct lm_parts *parts = take(pool);

	if (parts == NULL) {
		lazymem_read_complete(read, -ENOMEM);
		return;
	}
	parts->outer = read;
	parts->thread = pthread_self();
	parts->submitted = 0;
	parts->to = read->buffer;
	atomic_store(&parts->error, 0);
	go_on(parts);
}
