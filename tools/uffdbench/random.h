/* SPDX-License-Identifier: MIT
 *
 * random.h - a small generator with a fixed seed, so that every run of every
 * engine on every machine touches the same pages in the same order. Integer
 * arithmetic only.
 */
#ifndef UFFDBENCH_RANDOM_H
#define UFFDBENCH_RANDOM_H

#include <stdint.h>

/* Spread the bits of x: a bijection on 64-bit words (the finalizer of
 * SplitMix64, Steele, Lea and Flood, OOPSLA 2014). */
static inline uint64_t random_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

struct random {
	uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
	random->state += 0x9e3779b97f4a7c15ull;
	return random_mix(random->state);
}

/* Uniform in [0, bound); bound is above zero. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

#endif
