/* SPDX-License-Identifier: MIT
 *
 * While the clock runs, only the first word of a page is looked at, and what
 * it should be was worked out beforehand. The rest is compared afterwards.
 *
 * Whether a touch took a fault is known from the kernel's count for the thread.
 * It is asked only after a touch that took so long that somebody else must have
 * resolved the fault, or something else came in between: a page that is there
 * is touched in less, and another thread is not woken and waited for in less.
 * Where every touch takes a fault anyhow, it is not asked at all: an answer
 * takes half a microsecond.
 *
 * Each thread writes its samples to a block of its own, so that two threads do
 * not fight over cache lines.
 */
#include "toucher.h"
#include "clock.h"
#include "complain.h"
#include "pin.h"
#include "thread_faults.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A touch that took less found its page, or had it from the kernel. */
#define FAULT_NS 1000

enum mark {
	MARK_WRONG = 1,
	MARK_FAULTED = 2,
};

struct player {
	struct toucher *toucher;
	pthread_t thread;
	unsigned index;
	uint64_t *samples;
	uint64_t first_ns;
	uint64_t last_ns;
	long faults; /* of the thread, so far */
};

struct toucher {
	struct toucher_plan plan;
	unsigned char *memory; /* NULL at the barrier: there is nothing to do */
	unsigned char *marks;  /* one for each touch: enum mark */
	pthread_barrier_t barrier;
	unsigned started; /* threads that exist, the caller's not among them */
	bool ran;
	struct player players[];
};

static uint64_t access_word(volatile uint64_t *word, bool write, uint64_t expected)
{
	if (!write)
		return *word;
	*word = PATTERN_WRITTEN;
	return expected;
}

/* Has the thread taken a fault since it was asked last? */
static bool has_faulted(struct player *player)
{
	long before = player->faults;

	player->faults = thread_faults();
	return player->faults != before;
}

static void play(struct player *player)
{
	struct toucher *toucher = player->toucher;
	const struct toucher_plan *plan = &toucher->plan;
	const struct touch *touches = plan->workload->touches;
	uint64_t *sample = player->samples;

	player->faults = thread_faults();
	for (size_t i = player->index; i < plan->workload->touch_count; i += plan->threads) {
		volatile uint64_t *word =
			(volatile uint64_t *)(toucher->memory + touches[i].offset);
		uint64_t before = clock_ns();
		uint64_t value = access_word(word, plan->write, touches[i].expected);
		uint64_t after = clock_ns();

		if (value != touches[i].expected)
			toucher->marks[i] |= MARK_WRONG;
		if (sample == player->samples)
			player->first_ns = after;
		*sample++ = after - before;
		if (after - before >= FAULT_NS && plan->find_faults && has_faulted(player))
			toucher->marks[i] |= MARK_FAULTED;
		player->last_ns = after;
	}
}

static void *wait_and_play(void *argument)
{
	struct player *player = argument;

	pthread_barrier_wait(&player->toucher->barrier);
	if (player->toucher->memory != NULL)
		play(player);
	return NULL;
}

/* Thread `index` takes so many of the touches. */
static size_t share(const struct toucher_plan *plan, unsigned index)
{
	size_t count = plan->workload->touch_count;

	return (count + plan->threads - 1 - index) / plan->threads;
}

static int start_thread(struct player *player)
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pin_attributes(&attributes, player->toucher->plan.cpu);
	error = pthread_create(&player->thread, &attributes, wait_and_play, player);
	pthread_attr_destroy(&attributes);
	return error;
}

static struct toucher *allocate(const struct toucher_plan *plan)
{
	struct toucher *toucher =
		calloc(1, sizeof(*toucher) + plan->threads * sizeof(struct player));
	uint64_t *samples = plan->samples;

	if (toucher == NULL)
		return NULL;
	toucher->plan = *plan;
	toucher->marks = malloc(plan->workload->touch_count);
	if (toucher->marks == NULL) {
		free(toucher);
		return NULL;
	}
	memset(toucher->marks, 0, plan->workload->touch_count);
	pthread_barrier_init(&toucher->barrier, NULL, plan->threads);
	for (unsigned i = 0; i < plan->threads; i++) {
		toucher->players[i] =
			(struct player){.toucher = toucher, .index = i, .samples = samples};
		samples += share(plan, i);
	}
	return toucher;
}

int toucher_create(const struct toucher_plan *plan, struct toucher **ret_toucher)
{
	struct toucher *toucher = allocate(plan);

	if (toucher == NULL) {
		complain("no memory for %u threads", plan->threads);
		return -1;
	}
	while (toucher->started + 1 < plan->threads) {
		int error = start_thread(&toucher->players[toucher->started + 1]);

		if (error != 0) {
			complain("cannot start thread %u of --threads %u: %s", toucher->started + 2,
				 plan->threads, strerror(error));
			/* The barrier will never be full: the threads are lost
			 * with the process. */
			exit(EXIT_RUN_FAILED);
		}
		toucher->started++;
	}
	*ret_toucher = toucher;
	return 0;
}

static void let_go(struct toucher *toucher)
{
	toucher->ran = true;
	wait_and_play(&toucher->players[0]);
	for (unsigned i = 1; i <= toucher->started; i++)
		pthread_join(toucher->players[i].thread, NULL);
}

void toucher_run(struct toucher *toucher, unsigned char *memory, uint64_t *ret_first_ns,
		 uint64_t *ret_last_ns)
{
	uint64_t first_ns = UINT64_MAX;
	uint64_t last_ns = 0;

	toucher->memory = memory;
	let_go(toucher);
	for (unsigned i = 0; i < toucher->plan.threads; i++) {
		const struct player *player = &toucher->players[i];

		if (share(&toucher->plan, i) == 0)
			continue;
		if (player->first_ns < first_ns)
			first_ns = player->first_ns;
		if (player->last_ns > last_ns)
			last_ns = player->last_ns;
	}
	*ret_first_ns = first_ns;
	*ret_last_ns = last_ns;
}

uint64_t toucher_latency(const struct toucher *toucher, size_t index)
{
	return toucher->players[index % toucher->plan.threads]
		.samples[index / toucher->plan.threads];
}

bool toucher_faulted(const struct toucher *toucher, size_t index)
{
	return (toucher->marks[index] & MARK_FAULTED) != 0;
}

uint64_t toucher_count_mismatches(struct toucher *toucher)
{
	const struct toucher_plan *plan = &toucher->plan;
	uint64_t mismatches = 0;

	if (plan->image == NULL)
		return 0;
	for (size_t i = 0; i < plan->workload->touch_count; i++) {
		uint64_t offset = plan->workload->touches[i].offset;
		const uint64_t *words = (const uint64_t *)(toucher->memory + offset);

		if ((toucher->marks[i] & MARK_WRONG) != 0 ||
		    !image_matches(plan->image, offset, words, plan->write))
			mismatches++;
	}
	return mismatches;
}

void toucher_destroy(struct toucher *toucher)
{
	if (toucher == NULL)
		return;
	if (!toucher->ran)
		let_go(toucher);
	pthread_barrier_destroy(&toucher->barrier);
	free(toucher->marks);
	free(toucher);
}
