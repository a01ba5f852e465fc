/* SPDX-License-Identifier: MIT
 *
 * crc32c.h - the Castagnoli checksum of RFC 3720 (iSCSI), appendix B.4.
 */
#ifndef LM_CRC32C_H
#define LM_CRC32C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The checksum of what `before` is the checksum of (0: nothing), followed by
 * length bytes. Any thread. */
uint32_t lm_crc32c(uint32_t before, const void *bytes, size_t length);

/* The implementations, each with the same answer. Nothing but their test has a
 * reason to choose. */

/* With tables, on any processor. */
uint32_t lm_crc32c_portable(uint32_t before, const void *bytes, size_t length);

/* With instructions of the processor, if it has them. */
#if defined(__x86_64__) || (defined(__aarch64__) && defined(__ARM_FEATURE_CRC32))
#define LM_CRC32C_HAS_INSTRUCTIONS
bool lm_crc32c_has_instructions(void);
uint32_t lm_crc32c_by_instructions(uint32_t before, const void *bytes, size_t length);
#endif

#endif
