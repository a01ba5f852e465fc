/* SPDX-License-Identifier: MIT
 *
 * output_file.h - a new file in place of an old one, or the old one: written
 * under a temporary name beside it, made durable, renamed.
 */
#ifndef LAZYMEM_TOOL_OUTPUT_FILE_H
#define LAZYMEM_TOOL_OUTPUT_FILE_H

#include <stddef.h>
#include <stdint.h>

/* What is at `path` may be replaced: nothing, or a regular file, and no device.
 * 0, or -1 after a message. */
int output_file_check(const char *path);

struct output_file {
	const char *path;
	char *temporary;
	int fd;
};

/* Each: 0, or -1 after a message. After a failure output_file_abandon is still
 * to be called; it tolerates whatever has happened. */
int output_file_begin(const char *path, struct output_file *ret_file);
int output_file_set_length(struct output_file *file, uint64_t length);
int output_file_write(struct output_file *file, const void *bytes, size_t length, uint64_t offset);
int output_file_commit(struct output_file *file);

void output_file_abandon(struct output_file *file);

#endif
