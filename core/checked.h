/* SPDX-License-Identifier: MIT
 *
 * checked.h - arithmetic on lengths and offsets that cannot wrap in silence.
 */
#ifndef LM_CHECKED_H
#define LM_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* a + b; false, and *ret_sum untouched, when it does not fit. */
static inline bool lm_add(uint64_t a, uint64_t b, uint64_t *ret_sum)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*ret_sum = sum;
	return true;
}

static inline bool lm_is_power_of_two(uint64_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* alignment is a power of two. */
static inline bool lm_is_aligned(uint64_t value, uint64_t alignment)
{
	return (value & (alignment - 1)) == 0;
}

static inline uint64_t lm_align_down(uint64_t value, uint64_t alignment)
{
	return value & ~(alignment - 1);
}

/* The next multiple of alignment, a power of two; false when there is none below 2^64. */
static inline bool lm_align_up(uint64_t value, uint64_t alignment, uint64_t *ret_aligned)
{
	uint64_t sum;

	if (!lm_add(value, alignment - 1, &sum))
		return false;
	*ret_aligned = lm_align_down(sum, alignment);
	return true;
}

/* Does [start, start + length) lie inside [0, total)? */
static inline bool lm_fits(uint64_t start, uint64_t length, uint64_t total)
{
	return start <= total && length <= total - start;
}

static inline uint64_t lm_min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

#endif
