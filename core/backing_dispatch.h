/* SPDX-License-Identifier: MIT
 *
 * backing_dispatch.h - what the files of the dispatch share: the struct behind
 * every backing object, its flushes, and how a thread waits for one completion.
 */
#ifndef LM_BACKING_DISPATCH_H
#define LM_BACKING_DISPATCH_H

#include <lazymem/backing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The flushes of one object that are not over, see backing_flush.c. */
struct lm_flushes {
	pthread_mutex_t lock;
	struct lazymem_write *first; /* in the order of their numbers */
	struct lazymem_write **end;
	uint64_t last_number;
	_Atomic uint64_t failures; /* flushes that have failed, ever */
	int last_error;
};

struct lazymem_backing {
	struct lazymem_backing_operations operations;
	void *object;
	uint64_t length;
	char *name;
	atomic_size_t references;
	struct lm_flushes flushes;
};

void lm_flushes_create(struct lm_flushes *flushes);
void lm_flushes_destroy(struct lm_flushes *flushes);

/* A flush begins, before the implementation sees it. */
void lm_flushes_enter(struct lm_flushes *flushes, struct lazymem_write *flush);

/* The implementation has ended a flush. Completes it, and others that waited for
 * it, or keeps it until it may complete. The object may be gone afterwards. */
void lm_flushes_leave(struct lm_flushes *flushes, struct lazymem_write *flush, int error);

/* A thread that waits for one completion. */
struct lm_waiter {
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool is_over;
	int error;
};

#define LM_WAITER                                                                                  \
	{                                                                                          \
		.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER                \
	}

/* It is over, with this error. The waiter may be gone afterwards. */
void lm_waiter_wake(struct lm_waiter *waiter, int error);

/* Wait until it is over; the error. Once. */
int lm_waiter_wait(struct lm_waiter *waiter);

#endif
