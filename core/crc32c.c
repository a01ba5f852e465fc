/* SPDX-License-Identifier: MIT
 *
 * crc32c.c - CRC-32C: polynomial 0x1edc6f41, here with its bits reversed, start
 * value and final inversion all ones. crc32c_x86.c and crc32c_arm64.c have it
 * from the processor; this file chooses, and does it where there is no choice.
 *
 * Eight bytes at a time ("slicing by eight"): a checksum is linear, so that of
 * eight bytes is the sum of eight, each of one byte with zeros after it, and
 * these are in tables. Made by the first caller, they need no 300 lines here,
 * and cost nothing where the processor does the work.
 */
#include "core/crc32c.h"

#include "core/little_endian.h"

#include <pthread.h>

#define POLYNOMIAL UINT32_C(0x82f63b78)
#define SLICES 8

/* Of each byte with as many zero bytes after it. */
static uint32_t remainders[SLICES][256];
static pthread_once_t tables_made = PTHREAD_ONCE_INIT;

static uint32_t divide(uint32_t byte)
{
	for (int bit = 0; bit < 8; bit++)
		byte = byte >> 1 ^ ((byte & 1) != 0 ? POLYNOMIAL : 0);
	return byte;
}

static void make_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++)
		remainders[0][byte] = divide(byte);
	for (size_t zeros = 1; zeros < SLICES; zeros++) {
		for (size_t byte = 0; byte < 256; byte++) {
			const uint32_t shorter = remainders[zeros - 1][byte];

			remainders[zeros][byte] = remainders[0][shorter & 0xff] ^ shorter >> 8;
		}
	}
}

static uint32_t sum_of_eight(uint64_t eight)
{
	return remainders[7][eight & 0xff] ^ remainders[6][eight >> 8 & 0xff] ^
	       remainders[5][eight >> 16 & 0xff] ^ remainders[4][eight >> 24 & 0xff] ^
	       remainders[3][eight >> 32 & 0xff] ^ remainders[2][eight >> 40 & 0xff] ^
	       remainders[1][eight >> 48 & 0xff] ^ remainders[0][eight >> 56];
}

uint32_t lm_crc32c_portable(uint32_t before, const void *bytes, size_t length)
{
	const unsigned char *next = bytes;
	uint32_t sum = ~before;

	(void)pthread_once(&tables_made, make_tables);
	for (; length >= SLICES; length -= SLICES, next += SLICES)
		sum = sum_of_eight(lm_get_u64(next) ^ sum);
	for (; length != 0; length--, next++)
		sum = remainders[0][(sum ^ *next) & 0xff] ^ sum >> 8;
	return ~sum;
}

uint32_t lm_crc32c(uint32_t before, const void *bytes, size_t length)
{
#ifdef LM_CRC32C_HAS_INSTRUCTIONS
	if (lm_crc32c_has_instructions())
		return lm_crc32c_by_instructions(before, bytes, length);
#endif
	return lm_crc32c_portable(before, bytes, length);
}
