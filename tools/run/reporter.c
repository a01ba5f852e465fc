/* SPDX-License-Identifier: MIT
 *
 * The counters have no times in them, so that of the first fault is found by
 * looking: every millisecond at first, until there is one, and less often if
 * there is none for long.
 */
#include "reporter.h"
#include "complain.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define REPORT_NS 100000000L
#define LOOK_NS 1000000L
#define LOOKS 2000
#define RESTS 200

static pthread_t thread;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended_changed = PTHREAD_COND_INITIALIZER;
static bool ended;
static struct run_board *reported;
static struct lazymem_attachment *counted;

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static void copy(void)
{
	struct lazymem_statistics statistics = {.size = sizeof(statistics)};
	const uint64_t now = clock_ns();

	if (lazymem_attachment_statistics(counted, &statistics) != 0)
		return;
	atomic_fetch_add(&reported->turn, 1);
	atomic_thread_fence(memory_order_release);
	reported->now_ns = now;
	if (reported->first_ns == 0 && statistics.faults > 0)
		reported->first_ns = now;
	reported->statistics = statistics;
	atomic_fetch_add(&reported->turn, 1);
}

/* False when it is time to end. */
static bool wait_for(long nanoseconds)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += nanoseconds;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&mutex);
	if (!ended)
		(void)pthread_cond_timedwait(&ended_changed, &mutex, &until);
	go_on = !ended;
	pthread_mutex_unlock(&mutex);
	return go_on;
}

static void *report(void *unused)
{
	int looks = 0;

	(void)unused;
	do
		copy();
	while (wait_for(reported->first_ns == 0 && looks++ < LOOKS ? LOOK_NS : REPORT_NS));
	return NULL;
}

int run_reporter_start(struct run_board *board, struct lazymem_attachment *attachment)
{
	int error;
	sigset_t all, before;

	reported = board;
	counted = attachment;
	reported->start_ns = clock_ns();
	copy();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, report, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		complain("no thread for the counters: %s", strerror(error));
	else
		atomic_store(&board->phase, RUN_SERVING);
	return error;
}

/* The worker counts a fault just after its thread went on. While others still
 * fault, this is never so. */
static bool is_at_rest(const struct lazymem_statistics *now)
{
	return now->faults == now->copied + now->zeroed + now->moved + now->continued +
				      now->coalesced + now->already_present + now->failed;
}

/* The last fault is to be counted as well. */
static void copy_at_rest(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_NS / 10};

	copy();
	for (int look = 0; look < RESTS && !is_at_rest(&reported->statistics); look++) {
		nanosleep(&pause, NULL);
		copy();
	}
}

void run_reporter_end(enum run_phase phase)
{
	pthread_mutex_lock(&mutex);
	ended = true;
	pthread_cond_signal(&ended_changed);
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
	copy_at_rest();
	atomic_store(&reported->phase, phase);
}
