/* SPDX-License-Identifier: MIT
 *
 * map.h - mapping and unmapping, where a memory or a view is concerned. What
 * is exported of it (interpose.c) only tells which calls are.
 */
#ifndef RUN_MAP_H
#define RUN_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* As mmap(2), mremap(2) and munmap(2), errno included; `fd` is of memory
 * `index`. Each takes the lock. */
void *run_map(size_t index, void *host, size_t length, int protection, int flags, int fd,
	      off_t offset);
void *run_remap(void *host, size_t length, size_t new_length, int flags, void *new_host);
int run_unmap(void *host, size_t length);

/* mmap(2) of something else with MAP_FIXED, where views are. */
void *run_map_over(void *host, size_t length, int protection, int flags, int fd, off_t offset);

/* A range of the file of a memory, to be mapped. */
struct run_wanted {
	size_t memory; /* index */
	uint64_t offset;
	size_t length;
	int protection;
	int flags; /* of mmap(2) */
};

/* Map it at `host`, as mmap(2) would, and serve it. What the flags ask to be
 * populated is not. The lock is held, and what MAP_FIXED replaces was taken.
 * MAP_FAILED and errno. */
void *run_map_wanted(const struct run_wanted *wanted, void *host);

/* How much of a mapping of `length` bytes from `offset` on is filled: not what
 * goes past the end of the memory. */
size_t run_served_length(size_t memory, uint64_t offset, size_t length);

#endif
