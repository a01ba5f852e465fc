/* SPDX-License-Identifier: MIT
 *
 * backing_flush.c - flushes that are in flight together stand or fall together.
 *
 * Storage tells of a lost write once: of two flushes at the same time one gets
 * the error, and the other one is told that all is well, though it was its write
 * that was lost (fsync(2) on one open file is like that). So a flush completes
 * with 0 only when none that it overlapped has failed:
 *
 *   enter ----> in flight ----> ended with 0 ----> completes with 0, once every
 *                   |                |             flush that was in flight when
 *                   |                |             it ended has ended well
 *                   |                +-----------> completes with the error, as
 *                   |                              soon as one of them fails
 *                   +---------> ended with an error: completes with it, at once
 *
 * Each has a number. One that has ended waits for those up to `wait_for`, the
 * last number there was when it ended: those that begin later cannot take an
 * error away from it, and cannot hold it up for ever. `known_failures` is how
 * many had failed when it began.
 *
 * The list has those that are in flight and those that wait, in the order of
 * their numbers, so the first one in flight has the lowest number. Nothing
 * completes under the lock: a completion may begin the next flush, or drop the
 * last reference.
 */
#include "core/backing_dispatch.h"

#include <stddef.h>

/* wait_for of a flush that is in flight; no number is as high. */
#define IN_FLIGHT UINT64_MAX

void lm_flushes_create(struct lm_flushes *flushes)
{
	*flushes = (struct lm_flushes){0};
	pthread_mutex_init(&flushes->lock, NULL);
	flushes->end = &flushes->first;
}

void lm_flushes_destroy(struct lm_flushes *flushes)
{
	pthread_mutex_destroy(&flushes->lock);
}

void lm_flushes_enter(struct lm_flushes *flushes, struct lazymem_write *flush)
{
	pthread_mutex_lock(&flushes->lock);
	flush->number = ++flushes->last_number;
	flush->wait_for = IN_FLIGHT;
	flush->known_failures = atomic_load_explicit(&flushes->failures, memory_order_relaxed);
	flush->error = 0;
	flush->next = NULL;
	*flushes->end = flush;
	flushes->end = &flush->next;
	pthread_mutex_unlock(&flushes->lock);
}

/* May it complete? `lowest` is the lowest number in flight. */
static bool is_over(const struct lazymem_write *flush, uint64_t lowest)
{
	return flush->wait_for != IN_FLIGHT && (flush->error != 0 || lowest > flush->wait_for);
}

static uint64_t lowest_in_flight(const struct lm_flushes *flushes)
{
	for (const struct lazymem_write *flush = flushes->first; flush != NULL; flush = flush->next)
		if (flush->wait_for == IN_FLIGHT)
			return flush->number;
	return UINT64_MAX;
}

/* Take those that may complete out of the list; a list of its own. */
static struct lazymem_write *take_over(struct lm_flushes *flushes)
{
	const uint64_t lowest = lowest_in_flight(flushes);
	struct lazymem_write **link = &flushes->first;
	struct lazymem_write *taken = NULL, **taken_end = &taken;

	while (*link != NULL) {
		struct lazymem_write *flush = *link;

		if (!is_over(flush, lowest)) {
			link = &flush->next;
			continue;
		}
		*link = flush->next;
		flush->next = NULL;
		*taken_end = flush;
		taken_end = &flush->next;
	}
	flushes->end = link;
	return taken;
}

/* A flush has failed: so have those that wait. */
static void note_failure(struct lm_flushes *flushes, int error)
{
	flushes->last_error = error;
	atomic_fetch_add(&flushes->failures, 1);
	for (struct lazymem_write *flush = flushes->first; flush != NULL; flush = flush->next)
		if (flush->wait_for != IN_FLIGHT && flush->error == 0)
			flush->error = error;
}

void lm_flushes_leave(struct lm_flushes *flushes, struct lazymem_write *flush, int error)
{
	struct lazymem_write *taken, *next;

	pthread_mutex_lock(&flushes->lock);
	flush->wait_for = flushes->last_number;
	flush->error = error;
	if (error != 0)
		note_failure(flushes, error);
	else if (flush->known_failures != atomic_load(&flushes->failures))
		flush->error = flushes->last_error;
	taken = take_over(flushes);
	pthread_mutex_unlock(&flushes->lock);

	for (; taken != NULL; taken = next) {
		next = taken->next;
		taken->complete(taken, taken->error);
	}
}
