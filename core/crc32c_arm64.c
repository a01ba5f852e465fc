/* SPDX-License-Identifier: MIT
 *
 * crc32c_arm64.c - CRC-32C with the instructions that are part of the
 * architecture since ARMv8.1, where the compiler is told that they are there.
 */
#include "core/crc32c.h"

#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

#include "core/little_endian.h"

#include <arm_acle.h>

#define WORD ((size_t)8)

bool lm_crc32c_has_instructions(void)
{
	return true;
}

uint32_t lm_crc32c_by_instructions(uint32_t before, const void *bytes, size_t length)
{
	const unsigned char *next = bytes;
	uint32_t sum = ~before;

	for (; length >= WORD; length -= WORD, next += WORD)
		sum = __crc32cd(sum, lm_get_u64(next));
	for (; length != 0; length--, next++)
		sum = __crc32cb(sum, *next);
	return ~sum;
}

#endif
