/* SPDX-License-Identifier: MIT */
#include "lock.h"
#include "complain.h"
#include "descriptors.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_here;
static __thread sigset_t before;
static __thread int cancel_before;

/* It serves nobody, and must not keep the file from the next run. */
static void unlock_in_child(void)
{
	run_descriptors_close();
	run_unlock();
}

/* Before the lock is taken for the first time: a child that is forked while another thread
 * has it must find it free, and a second registration would take it twice. */
static void keep_over_fork(void)
{
	const int error = pthread_atfork(run_lock, run_unlock, unlock_in_child);

	if (error != 0)
		complain("a forked child may wait for ever: %s", strerror(error));
}

/* Opening files is a place where a thread can be cancelled. */
void run_lock(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	sigset_t all;
	int cancel;

	pthread_once(&once, keep_over_fork);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&mutex);
	cancel_before = cancel;
	is_here = true;
}

void run_unlock(void)
{
	const int saved = errno;
	int cancel;

	is_here = false;
	pthread_mutex_unlock(&mutex);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(cancel_before, &cancel);
	errno = saved;
}

bool run_is_locked_here(void)
{
	return is_here;
}
