/* SPDX-License-Identifier: MIT
 *
 * parts.h - reads in parts for an object that reads ranges: all parts at once.
 */
#ifndef LM_PARTS_H
#define LM_PARTS_H

#include <lazymem/backing.h>
#include <pthread.h>

struct lm_parts;

/* The states of an object's reads in parts, kept for the next ones. */
struct lm_parts_pool {
	pthread_mutex_t lock;
	struct lm_parts *spare;
};

void lm_parts_create(struct lm_parts_pool *pool);

/* No read is in flight. */
void lm_parts_destroy(struct lm_parts_pool *pool);

/* Read each part of a read by a read of its own, of the same object and on the
 * same queue. Completes when all are over, with 0 or the error of one of them. */
void lm_parts_submit(struct lm_parts_pool *pool, struct lazymem_read *read);

#endif
