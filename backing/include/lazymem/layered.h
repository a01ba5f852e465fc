/* SPDX-License-Identifier: MIT
 *
 * layered.h - raw images one over the other, as one backing object: a full
 * memory file and the sparse diffs that were taken after it.
 */
#ifndef LAZYMEM_LAYERED_H
#define LAZYMEM_LAYERED_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `count` objects of one length, from the base up. Of the topmost one that has
 * data at a place come its bytes; where it has a hole (LAZYMEM_EXTENT_ZERO) the
 * next one below decides, and what is a hole in all of them is zero. Which one
 * it is, is found out once, here, so that depth costs nothing for a read. Takes
 * a reference to each. -EOPNOTSUPP for a diff on a file system that has no holes of
 * single pages (tmpfs with huge pages, ZFS), -EINVAL for no objects, and for lengths that differ (the
 * message names both objects), -ENOMEM, the objects' own errors. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_layered_create(struct lazymem_backing *const *layers, size_t count,
					  struct lazymem_backing **ret_backing);

#ifdef __cplusplus
}
#endif
#endif
