/* SPDX-License-Identifier: MIT
 *
 * kernel.h - the system calls themselves. All files but interpose.c come to them by
 * the C library's names.
 */
#ifndef RUN_KERNEL_H
#define RUN_KERNEL_H

#include <stddef.h>
#include <sys/types.h>

void *__wrap_mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *host, size_t length);
void *__wrap_mremap(void *host, size_t length, size_t new_length, int flags, ...);
int __wrap_madvise(void *host, size_t length, int advice);
int __wrap_remap_file_pages(void *host, size_t length, int protection, size_t page, int flags);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t length);
int __wrap_ftruncate(int fd, off_t length);
int __wrap_close(int fd);
int __wrap_close_range(unsigned first, unsigned last, int flags);
int __wrap_dup2(int fd, int number);
int __wrap_dup3(int fd, int number, int flags);

#endif
