/* SPDX-License-Identifier: MIT
 *
 * Each thread is a Poisson process of its own, of an equal part of the rate;
 * together they are one of the whole rate. A thread whose touch takes longer
 * than the time to its next one makes that late, and the others make theirs.
 *
 * What counts is a touch that took a fault, which the kernel knows: the time from
 * right before it until the thread goes on. Waking up for it is not part of it.
 */
#include "post_copy_arrivals.h"
#include "clock.h"
#include "complain.h"
#include "pattern.h"
#include "random.h"
#include "samples.h"
#include "thread_faults.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#define THREADS 8u

struct thread {
	pthread_t thread;
	struct post_copy_arrivals *arrivals;
	struct random random;
	uint64_t *samples;
	size_t count; /* touches to be made */
	size_t touched;
	size_t faulted;
	uint64_t wrong;
};

struct post_copy_arrivals {
	const unsigned char *memory;
	uint64_t pages;
	double mean_ns; /* between two touches of a thread */
	uint64_t *samples;
	size_t room;
	atomic_bool ends;
	unsigned started;
	bool joined;
	struct thread threads[THREADS];
};

/* Exponentially distributed. */
static uint64_t next_pause(struct thread *thread)
{
	const double uniform =
		((double)(random_next(&thread->random) >> 11) + 1) / 9007199254740992.0;

	return (uint64_t)(-log(uniform) * thread->arrivals->mean_ns);
}

static void sleep_until(uint64_t due_ns)
{
	const struct timespec due = {.tv_sec = (time_t)(due_ns / NS_PER_SECOND),
				     .tv_nsec = (long)(due_ns % NS_PER_SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		continue;
}

static void touch(struct thread *thread)
{
	const struct post_copy_arrivals *arrivals = thread->arrivals;
	const uint64_t offset = random_below(&thread->random, arrivals->pages) * PAGE_BYTES;
	const uint64_t expected = pattern_first_word(PATTERN_DATA, offset);
	const volatile uint64_t *word =
		(const volatile uint64_t *)(const void *)(arrivals->memory + offset);
	const long faults = thread_faults();
	const uint64_t before = clock_ns();
	const uint64_t value = *word;
	const uint64_t after = clock_ns();

	thread->touched++;
	thread->wrong += value != expected;
	if (thread_faults() != faults)
		thread->samples[thread->faulted++] = after - before;
}

static void *touch_on(void *argument)
{
	struct thread *thread = argument;
	uint64_t due_ns = clock_ns();

	prctl(PR_SET_TIMERSLACK, 1);
	for (size_t i = 0; i < thread->count; i++) {
		due_ns += next_pause(thread);
		sleep_until(due_ns);
		if (atomic_load(&thread->arrivals->ends))
			break;
		touch(thread);
	}
	return NULL;
}

static int start_thread(struct post_copy_arrivals *arrivals, size_t count, uint64_t seed)
{
	const unsigned index = arrivals->started;
	struct thread *thread = &arrivals->threads[index];
	const size_t first = count * index / THREADS;

	*thread = (struct thread){
		.arrivals = arrivals,
		.random = {random_mix(seed * THREADS + index + 1)},
		.samples = arrivals->samples + first,
		.count = count * (index + 1) / THREADS - first,
	};
	return pthread_create(&thread->thread, NULL, touch_on, thread);
}

int post_copy_arrivals_start(const void *memory, uint64_t length, size_t count, double per_second,
			     uint64_t seed, struct post_copy_arrivals **ret_arrivals)
{
	struct post_copy_arrivals *arrivals = calloc(1, sizeof(*arrivals));
	struct post_copy_touches touches;
	int error = 0;

	if (arrivals == NULL) {
		complain("no memory for threads that touch");
		return -1;
	}
	arrivals->memory = memory;
	arrivals->pages = length / PAGE_BYTES;
	arrivals->mean_ns = (double)NS_PER_SECOND * THREADS / per_second;
	arrivals->room = count;
	arrivals->samples = samples_create(count);
	while (arrivals->samples != NULL && arrivals->started < THREADS && error == 0) {
		error = start_thread(arrivals, count, seed);
		arrivals->started += error == 0;
	}
	if (arrivals->samples != NULL && error == 0) {
		*ret_arrivals = arrivals;
		return 0;
	}
	if (error != 0)
		complain("cannot start threads that touch: %s", strerror(error));
	if (post_copy_arrivals_end(arrivals, &touches) == 0)
		samples_destroy(touches.samples, touches.room);
	return -1;
}

void post_copy_arrivals_wait(struct post_copy_arrivals *arrivals)
{
	for (unsigned i = 0; i < arrivals->started; i++)
		pthread_join(arrivals->threads[i].thread, NULL);
	arrivals->joined = true;
}

/* The samples of all threads, one behind the other. */
static void put_together(const struct post_copy_arrivals *arrivals,
			 struct post_copy_touches *touches)
{
	for (unsigned i = 0; i < arrivals->started; i++) {
		const struct thread *thread = &arrivals->threads[i];

		memmove(touches->samples + touches->faulted, thread->samples,
			thread->faulted * sizeof(*thread->samples));
		touches->touched += thread->touched;
		touches->faulted += thread->faulted;
		touches->wrong += thread->wrong;
	}
}

int post_copy_arrivals_end(struct post_copy_arrivals *arrivals,
			   struct post_copy_touches *ret_touches)
{
	struct post_copy_touches touches = {.samples = arrivals->samples, .room = arrivals->room};

	atomic_store(&arrivals->ends, true);
	if (!arrivals->joined)
		post_copy_arrivals_wait(arrivals);
	put_together(arrivals, &touches);
	free(arrivals);
	*ret_touches = touches;
	return touches.samples != NULL ? 0 : -1;
}
