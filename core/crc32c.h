/* SPDX-License-Identifier: MIT
 *
 * crc32c.h - the Castagnoli checksum of RFC 3720 (iSCSI), appendix B.4.
 */
#ifndef LM_CRC32C_H
#define LM_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `before` is the checksum of (0: nothing), followed by
 * length bytes. */
uint32_t lm_crc32c(uint32_t before, const void *bytes, size_t length);

#endif
