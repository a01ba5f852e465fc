/* SPDX-License-Identifier: MIT
 *
 * bytes.h - bytes in memory as a backing object.
 */
#ifndef LAZYMEM_BYTES_H
#define LAZYMEM_BYTES_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `length` bytes at `bytes`, which stay the caller's and unchanged until
 * `release` is called with `context`: when the last reference is gone (NULL:
 * not called). Must not be lazily filled memory. -EINVAL for NULL or a length of zero,
 * -ENOMEM. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_bytes_create(const void *bytes, size_t length,
					void (*release)(void *context), void *context,
					struct lazymem_backing **ret_backing);

/* The same, to be written: writes and discards change the bytes at once, and
 * there is nothing to flush. In the meantime the caller only reads them. Any
 * thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_bytes_create_writable(void *bytes, size_t length,
						 void (*release)(void *context), void *context,
						 struct lazymem_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
