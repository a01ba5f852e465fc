/* SPDX-License-Identifier: MIT
 *
 * crc32c_x86.c - CRC-32C with the instruction of SSE 4.2.
 *
 * It takes eight bytes, one in each cycle, but its result is there only after
 * three. So three lanes, one after the other in memory, are summed side by side:
 * 3 * 1360 bytes at a time, which leaves 16 bytes of a page of 4096.
 *
 * Put together, the sum of the first lane has to move on by the length of the
 * other two, and that of the second by one. To move on by n bits is to multiply
 * by x^n and divide by the polynomial. PCLMULQDQ multiplies without carry. Its
 * product of two numbers with reversed bits is one bit short of a reversed number
 * of 64 bits, and the instruction itself, which divides, multiplies by x^32
 * before; so the factor for n bits is x^(n - 33) modulo the polynomial.
 *
 * What a processor has is read from a variable that the compiler's library fills
 * before any code of ours runs: no lock, no call through a pointer.
 */
#include "core/crc32c.h"

#ifdef __x86_64__

#include "core/little_endian.h"

#include <nmmintrin.h>
#include <wmmintrin.h>

#define WITH_INSTRUCTIONS __attribute__((target("sse4.2,pclmul")))

#define WORD ((size_t)8)
#define LANE ((size_t)1360)
#define MOVE_ON_BY_ONE UINT64_C(0x3f70cc6f) /* x^(8 * 1360 - 33) */
#define MOVE_ON_BY_TWO UINT64_C(0x5aa1f3cf) /* x^(16 * 1360 - 33) */

bool lm_crc32c_has_instructions(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

WITH_INSTRUCTIONS static uint64_t multiply(uint64_t sum, uint64_t factor)
{
	const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum),
						     _mm_cvtsi64_si128((long long)factor), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

/* The sum after three lanes more. */
WITH_INSTRUCTIONS static uint64_t add_lanes(uint64_t sum, const unsigned char *next)
{
	uint64_t first = sum, second = 0, third = 0;

	for (const unsigned char *end = next + LANE; next != end; next += WORD) {
		first = _mm_crc32_u64(first, lm_get_u64(next));
		second = _mm_crc32_u64(second, lm_get_u64(next + LANE));
		third = _mm_crc32_u64(third, lm_get_u64(next + 2 * LANE));
	}
	return third ^
	       _mm_crc32_u64(0, multiply(first, MOVE_ON_BY_TWO) ^ multiply(second, MOVE_ON_BY_ONE));
}

WITH_INSTRUCTIONS uint32_t lm_crc32c_by_instructions(uint32_t before, const void *bytes,
						     size_t length)
{
	const unsigned char *next = bytes;
	uint64_t sum = (uint32_t)~before;

	for (; length >= 3 * LANE; length -= 3 * LANE, next += 3 * LANE)
		sum = add_lanes(sum, next);
	for (; length >= WORD; length -= WORD, next += WORD)
		sum = _mm_crc32_u64(sum, lm_get_u64(next));
	for (; length != 0; length--, next++)
		sum = _mm_crc32_u8((uint32_t)sum, *next);
	return ~(uint32_t)sum;
}

#endif
