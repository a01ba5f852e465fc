/* SPDX-License-Identifier: MIT
 *
 * post_copy_arrivals.h - threads that touch random pages of guest memory at
 * random times: together a Poisson process, whatever becomes of a touch.
 *
 * Results are 0, or -1 after a message.
 */
#ifndef UFFDBENCH_POST_COPY_ARRIVALS_H
#define UFFDBENCH_POST_COPY_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

struct post_copy_arrivals;

/* Touches of pages that were not there. */
struct post_copy_touches {
	size_t touched;    /* those that were there included */
	size_t faulted;    /* samples */
	uint64_t *samples; /* nanoseconds; to be destroyed as `room` of them */
	size_t room;
	uint64_t wrong; /* touches that found something else than the pattern */
};

/* From now on, at most `count` touches, `per_second` of them. The memory is that of
 * the pattern; the seed says which pages, and when. */
int post_copy_arrivals_start(const void *memory, uint64_t length, size_t count, double per_second,
			     uint64_t seed, struct post_copy_arrivals **ret_arrivals);

/* Wait until all of them have been made. */
void post_copy_arrivals_wait(struct post_copy_arrivals *arrivals);

/* No more touches from now on; and what they came to. Frees it. */
int post_copy_arrivals_end(struct post_copy_arrivals *arrivals,
			   struct post_copy_touches *ret_touches);

#endif
