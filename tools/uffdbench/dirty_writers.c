/* SPDX-License-Identifier: MIT
 *
 * A writer's step s stores stamp s + 1 in page s % n of its share, so what every
 * page holds follows from the number of its steps. Stopping is a lock that each
 * writer takes for a step: whoever has all of them knows that nobody writes.
 */
#include "dirty_writers.h"
#include "clock.h"
#include "complain.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITERS 2u

/* Steps between two looks at the clock, when there is a pace. */
#define BURST 16u

struct writer {
	pthread_mutex_t running; /* held for a burst */
	pthread_t thread;
	const uint64_t *offsets;
	size_t count;
	char *memory;
	uint64_t per_second;
	_Atomic uint64_t steps;
	uint64_t steps_at_stop;
	atomic_bool ends;
	atomic_bool waits; /* somebody wants it to stand still */
};

struct dirty_writers {
	struct writer writers[WRITERS];
	unsigned started;
};

static void step(struct writer *writer)
{
	const uint64_t steps = atomic_load_explicit(&writer->steps, memory_order_relaxed);
	const uint64_t offset = writer->offsets[steps % writer->count];

	/* The library reads it at the same time. */
	__atomic_store_n((uint64_t *)(void *)(writer->memory + offset),
			 dirty_page_word(offset, steps + 1), __ATOMIC_RELAXED);
	atomic_store_explicit(&writer->steps, steps + 1, memory_order_relaxed);
}

static void run_burst(struct writer *writer)
{
	pthread_mutex_lock(&writer->running);
	for (unsigned i = 0; i < BURST && !atomic_load(&writer->waits); i++)
		step(writer);
	pthread_mutex_unlock(&writer->running);
}

/* Sleep until the next burst is due. */
static void keep_pace(const struct writer *writer, uint64_t start_ns)
{
	const uint64_t steps = atomic_load(&writer->steps) - writer->count;
	const uint64_t due_ns = start_ns + steps * NS_PER_SECOND / writer->per_second;
	const uint64_t now_ns = clock_ns();

	if (due_ns > now_ns)
		usleep((useconds_t)((due_ns - now_ns) / 1000));
}

static void *write_on(void *context)
{
	struct writer *writer = context;
	uint64_t start_ns = 0;

	while (!atomic_load(&writer->ends)) {
		while (atomic_load(&writer->waits) && !atomic_load(&writer->ends))
			usleep(100);
		run_burst(writer);
		if (writer->per_second == 0 || atomic_load(&writer->steps) <= writer->count)
			continue;
		if (start_ns == 0)
			start_ns = clock_ns();
		keep_pace(writer, start_ns);
	}
	return NULL;
}

int dirty_writers_start(const struct dirty_pages *pages, void *memory, uint64_t per_second,
			struct dirty_writers **ret_writers)
{
	struct dirty_writers *writers = calloc(1, sizeof(*writers));
	int error = writers == NULL ? ENOMEM : 0;

	for (size_t i = 0; error == 0 && i < WRITERS; i++) {
		struct writer *writer = &writers->writers[i];
		const size_t first = pages->count * i / WRITERS;

		writer->offsets = pages->offsets + first;
		writer->count = pages->count * (i + 1) / WRITERS - first;
		writer->memory = memory;
		writer->per_second = per_second / WRITERS;
		pthread_mutex_init(&writer->running, NULL);
		error = pthread_create(&writer->thread, NULL, write_on, writer);
		writers->started += error == 0;
	}
	if (error != 0) {
		complain("cannot start threads that write: %s", strerror(error));
		dirty_writers_end(writers);
		return -1;
	}
	*ret_writers = writers;
	return 0;
}

void dirty_writers_wait(struct dirty_writers *writers)
{
	for (unsigned i = 0; i < writers->started; i++) {
		while (atomic_load(&writers->writers[i].steps) < writers->writers[i].count)
			usleep(100);
	}
}

void dirty_writers_stop(struct dirty_writers *writers)
{
	for (unsigned i = 0; i < writers->started; i++)
		atomic_store(&writers->writers[i].waits, true);
	for (unsigned i = 0; i < writers->started; i++) {
		struct writer *writer = &writers->writers[i];

		pthread_mutex_lock(&writer->running);
		writer->steps_at_stop = atomic_load(&writer->steps);
	}
}

void dirty_writers_go(struct dirty_writers *writers)
{
	for (unsigned i = 0; i < writers->started; i++) {
		atomic_store(&writers->writers[i].waits, false);
		pthread_mutex_unlock(&writers->writers[i].running);
	}
}

static void each(const struct writer *writer,
		 void (*see)(void *context, uint64_t offset, uint64_t stamp), void *context)
{
	const uint64_t steps = writer->steps_at_stop;

	for (size_t i = 0; i < writer->count && i < steps; i++) {
		const uint64_t rounds = (steps - 1 - i) / writer->count;

		see(context, writer->offsets[i], rounds * writer->count + i + 1);
	}
}

void dirty_writers_each(const struct dirty_writers *writers,
			void (*see)(void *context, uint64_t offset, uint64_t stamp), void *context)
{
	for (unsigned i = 0; i < writers->started; i++)
		each(&writers->writers[i], see, context);
}

void dirty_writers_end(struct dirty_writers *writers)
{
	if (writers == NULL)
		return;
	for (unsigned i = 0; i < writers->started; i++)
		atomic_store(&writers->writers[i].ends, true);
	for (unsigned i = 0; i < writers->started; i++)
		pthread_join(writers->writers[i].thread, NULL);
	free(writers);
}
