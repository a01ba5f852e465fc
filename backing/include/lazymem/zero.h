/* SPDX-License-Identifier: MIT
 *
 * zero.h - zeros as a backing object.
 */
#ifndef LAZYMEM_ZERO_H
#define LAZYMEM_ZERO_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `length` zeros, one extent. -EINVAL for a length of zero, -ENOMEM.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_zero_create(uint64_t length, struct lazymem_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
