/* SPDX-License-Identifier: MIT
 *
 * Commands: what other threads want done on the worker's thread. One lock for
 * the list and for the end of each command; nobody holds it while a command runs.
 */
#include "uffd/command.h"

#include <assert.h>

int lm_worker_call(struct lm_worker *worker, struct lm_command *command)
{
	assert(!pthread_equal(pthread_self(), worker->thread));
	pthread_mutex_lock(&worker->mutex);
	if (worker->last_command != NULL)
		worker->last_command->next = command;
	else
		worker->commands = command;
	worker->last_command = command;
	atomic_store_explicit(&worker->called, true, memory_order_release);
	lm_queue_wake(worker->queue);
	while (!command->done)
		pthread_cond_wait(&worker->changed, &worker->mutex);
	pthread_mutex_unlock(&worker->mutex);
	return command->result;
}

void lm_worker_end_command(struct lm_worker *worker, struct lm_command *command)
{
	pthread_mutex_lock(&worker->mutex);
	command->done = true;
	pthread_cond_broadcast(&worker->changed);
	pthread_mutex_unlock(&worker->mutex);
}
