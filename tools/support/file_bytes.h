/* SPDX-License-Identifier: MIT */
#ifndef TOOL_FILE_BYTES_H
#define TOOL_FILE_BYTES_H

#include <stddef.h>

/* All bytes of a file, for the caller to free, also when there are none. 0, or
 * -1 after a message. */
int file_bytes_read(const char *path, void **ret_bytes, size_t *ret_length);

#endif
