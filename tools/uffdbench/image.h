/* SPDX-License-Identifier: MIT
 *
 * image.h - the file that guest memory is filled from.
 */
#ifndef UFFDBENCH_IMAGE_H
#define UFFDBENCH_IMAGE_H

#include "pattern.h"

#include <stdint.h>

struct image {
	int fd;
	char *path;       /* what engines open */
	const char *name; /* for messages: the file, or the directory it is in */
	uint64_t length;  /* bytes that are used, a multiple of PAGE_BYTES */
	enum pattern_layout layout;
};

/* Below, results are 0, or -1 after a message that names the file. */

/* A new nameless file in `directory`; the kernel removes it when this process
 * ends, however it ends. */
int image_create(const char *directory, uint64_t length, enum pattern_layout layout,
		 struct image *ret_image);

/* A file that image_make made for the same layout and at least this length. */
int image_open(const char *path, uint64_t length, enum pattern_layout layout,
	       struct image *ret_image);

/* Make a new file and keep it; nothing is left of it when that fails or is
 * interrupted. */
int image_make(const char *path, uint64_t length, enum pattern_layout layout);

void image_close(struct image *image);

/* A nameless file in `directory`, for reading and writing. -1 after a message. */
int scratch_open(const char *directory);

/* Write all of it. `name` is for the message. */
int write_all(int fd, const void *bytes, uint64_t length, uint64_t offset, const char *name);

#endif
