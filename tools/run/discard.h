/* SPDX-License-Identifier: MIT
 *
 * discard.h - giving memory back: what was not there yet must read as zeros
 * from then on, and not as the image.
 */
#ifndef RUN_DISCARD_H
#define RUN_DISCARD_H

#include <stddef.h>
#include <sys/types.h>

/* As madvise(2), where views may be; fallocate(2) and ftruncate(2) of memory
 * `index`; errno included. */
int run_advise(void *host, size_t length, int advice);
int run_allocate(size_t index, int fd, int mode, off_t offset, off_t length);
int run_truncate(size_t index, int fd, off_t length);

#endif
