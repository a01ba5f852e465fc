/* SPDX-License-Identifier: MIT
 *
 * image.h - the file that guest memory is filled from.
 */
#ifndef UFFDBENCH_IMAGE_H
#define UFFDBENCH_IMAGE_H

#include "pattern.h"
#include "source.h"
#include "touches.h"

#include <stdint.h>

struct image {
	int fd;
	char *path;       /* what engines open */
	const char *name; /* for messages: the file, or the directory it is in */
	uint64_t length;  /* bytes that are used, a multiple of PAGE_BYTES */
	enum pattern_layout layout;
	bool given; /* of a real guest: not by layout, but what the file says */
};

/* Below, results are 0, or -1 after a message that names the file. */

/* A new nameless file in `directory`; the kernel removes it when this process
 * ends, however it ends. */
int image_create(const char *directory, uint64_t length, enum pattern_layout layout,
		 struct image *ret_image);

/* A file that image_make made for the same layout and at least this length. */
int image_open(const char *path, uint64_t length, enum pattern_layout layout,
	       struct image *ret_image);

/* A raw image of a real guest's memory, at least this long. */
int image_open_given(const char *path, uint64_t length, struct image *ret_image);

/* How long a file is, in whole pages. */
int image_measure(const char *path, uint64_t *ret_length);

/* Make a new file and keep it; nothing is left of it when that fails or is
 * interrupted. */
int image_make(const char *path, uint64_t length, enum pattern_layout layout);

void image_close(struct image *image);

/* As a file that runs read. */
struct source_file image_file(const struct image *image);

/* What the page at `offset` holds; is that what is in memory? `written` as for
 * pattern_matches. */
int image_page(const struct image *image, uint64_t offset, uint64_t *words);
bool image_matches(const struct image *image, uint64_t offset, const uint64_t *words, bool written);

/* What the page at `offset` is stored as. */
enum pattern_kind image_kind(const struct image *image, uint64_t offset);

/* Of a given image: look up what the workload will find, and leave out the
 * pages that are zeros, of which a guest has many and which cost little. */
int image_fit(const struct image *image, struct workload *workload);

#endif
