/* SPDX-License-Identifier: MIT
 *
 * clock.h - the one clock of the library.
 */
#ifndef LM_CLOCK_H
#define LM_CLOCK_H

#include <stdint.h>
#include <time.h>

#define LM_NS_PER_S UINT64_C(1000000000)

/* CLOCK_MONOTONIC in nanoseconds. */
static inline uint64_t lm_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * LM_NS_PER_S + (uint64_t)now.tv_nsec;
}

#endif
