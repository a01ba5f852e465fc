/* SPDX-License-Identifier: MIT
 *
 * size.h - sizes and addresses as people write them.
 */
#ifndef SUPPORT_SIZE_H
#define SUPPORT_SIZE_H

#include <stdint.h>

/* "4096", "0x1000", or either with K, M or G (powers of 1024). -EINVAL when
 * it is no such thing, -ERANGE when it does not fit. */
int size_parse(const char *text, uint64_t *ret_size);

#endif
