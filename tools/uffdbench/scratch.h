/* SPDX-License-Identifier: MIT
 *
 * scratch.h - files of our own: without a name, so that the kernel removes
 * them when this process ends, however it ends.
 *
 * Results are 0, or -1 after a message that names the file.
 */
#ifndef UFFDBENCH_SCRATCH_H
#define UFFDBENCH_SCRATCH_H

#include <stdint.h>

/* A nameless file in `directory`, for reading and writing; a descriptor. */
int scratch_open(const char *directory);

/* The path by which others in this process may open a nameless file. */
struct scratch_path {
	char text[32];
};

struct scratch_path scratch_path(int fd);

/* Write all of it. `name` is for the message. */
int write_all(int fd, const void *bytes, uint64_t length, uint64_t offset, const char *name);

/* A nameless file, by something that can only write to a path: `write` makes
 * the file there, or returns -1 after a message, and should end early when
 * interrupt_came(). The file has a name until it is written. A descriptor. */
int scratch_write(const char *directory, int (*write)(void *context, const char *path),
		  void *context);

#endif
