/* SPDX-License-Identifier: MIT
 *
 * backing_wait.c - a thread that waits for one completion. The waiter lies on
 * its stack, so whoever wakes it signals with the lock held: once that is given
 * back, the waiter may be gone.
 */
#include "core/backing_dispatch.h"

void lm_waiter_wake(struct lm_waiter *waiter, int error)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->error = error;
	waiter->is_over = true;
	pthread_cond_signal(&waiter->over);
	pthread_mutex_unlock(&waiter->lock);
}

int lm_waiter_wait(struct lm_waiter *waiter)
{
	pthread_mutex_lock(&waiter->lock);
	while (!waiter->is_over)
		pthread_cond_wait(&waiter->over, &waiter->lock);
	pthread_mutex_unlock(&waiter->lock);
	pthread_cond_destroy(&waiter->over);
	pthread_mutex_destroy(&waiter->lock);
	return waiter->error;
}
