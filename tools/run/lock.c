/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_here;
static __thread sigset_t before;

void run_lock(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&mutex);
	is_here = true;
}

void run_unlock(void)
{
	const int saved = errno;

	is_here = false;
	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = saved;
}

bool run_is_locked_here(void)
{
	return is_here;
}
