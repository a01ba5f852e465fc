/* SPDX-License-Identifier: MIT
 *
 * Periodic write-back: one thread for each attachment that asks for it, which
 * sleeps for the interval, syncs everything, and sleeps again.
 *
 * What fails stays dirty and is counted, as in any sync, and is tried again when
 * the interval is over: there is nobody to tell. The interval begins when a sync
 * has ended, so that storage which is slower than the interval is not asked
 * without pause.
 *
 * The thread is there before the worker knows the attachment, and after the
 * worker has let go of it. In both cases it finds that the attachment is not
 * served, and leaves it alone. Freeing the attachment begins with the end of
 * this thread.
 */
#include "uffd/write_back_timer.h"

#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"
#include "uffd/write_back.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

struct lm_write_back_timer {
	struct lazymem_attachment *attachment;
	uint64_t interval; /* nanoseconds */
	pthread_t thread;
	pthread_mutex_t mutex; /* of `stopping`; not held during a sync */
	pthread_cond_t stopped;
	bool stopping;
};

/* False: stop. */
static bool await_interval(struct lm_write_back_timer *timer)
{
	uint64_t end = UINT64_MAX; /* a deadline that no clock can tell is never */
	struct timespec deadline;
	int error = 0;
	bool stopping;

	(void)lm_add(lm_clock_ns(), timer->interval, &end);
	deadline.tv_sec = (time_t)(end / LM_NS_PER_S);
	deadline.tv_nsec = (long)(end % LM_NS_PER_S);
	pthread_mutex_lock(&timer->mutex);
	while (!timer->stopping && error == 0)
		error = pthread_cond_timedwait(&timer->stopped, &timer->mutex, &deadline);
	stopping = timer->stopping;
	pthread_mutex_unlock(&timer->mutex);
	return !stopping;
}

static void *run(void *argument)
{
	struct lm_write_back_timer *timer = argument;

	pthread_setname_np(pthread_self(), "lazymem-sync"); /* for ps, top and perf */
	while (await_interval(timer))
		if (lm_attachment_is_served(timer->attachment))
			(void)lm_write_back_sync_all(timer->attachment);
	return NULL;
}

static struct lm_write_back_timer *create(struct lazymem_attachment *attachment, uint64_t interval)
{
	struct lm_write_back_timer *timer = calloc(1, sizeof(*timer));
	pthread_condattr_t monotonic;

	if (timer == NULL)
		return NULL;
	timer->attachment = attachment;
	timer->interval = interval;
	pthread_mutex_init(&timer->mutex, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&timer->stopped, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return timer;
}

static void destroy(struct lm_write_back_timer *timer)
{
	pthread_cond_destroy(&timer->stopped);
	pthread_mutex_destroy(&timer->mutex);
	free(timer);
}

static int start_thread(struct lm_write_back_timer *timer)
{
	pthread_attr_t attributes;
	sigset_t all;
	int error = pthread_attr_init(&attributes);

	if (error != 0)
		return -error;
	sigfillset(&all);
	pthread_attr_setsigmask_np(&attributes, &all);
	error = pthread_create(&timer->thread, &attributes, run, timer);
	pthread_attr_destroy(&attributes);
	return -error;
}

int lm_write_back_timer_start(struct lazymem_attachment *attachment, uint64_t interval)
{
	struct lm_write_back_timer *timer = create(attachment, interval);
	int error;

	if (timer == NULL)
		return lm_error(-ENOMEM, "no memory for periodic write-back");
	error = start_thread(timer);
	if (error != 0) {
		destroy(timer);
		return lm_error_errno(error, "cannot start the thread of periodic write-back");
	}
	attachment->write_back.timer = timer;
	return 0;
}

void lm_write_back_timer_stop(struct lazymem_attachment *attachment)
{
	struct lm_write_back_timer *timer = attachment->write_back.timer;

	if (timer == NULL)
		return;
	pthread_mutex_lock(&timer->mutex);
	timer->stopping = true;
	pthread_cond_signal(&timer->stopped);
	pthread_mutex_unlock(&timer->mutex);
	pthread_join(timer->thread, NULL);
	destroy(timer);
	attachment->write_back.timer = NULL;
}
