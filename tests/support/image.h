/* SPDX-License-Identifier: MIT
 *
 * image.h - known contents for guest memory. Every eight bytes of a data page
 * hold their own offset mixed with the seed, so that a page in the wrong
 * place, of another image or half written is seen.
 */
#ifndef TEST_IMAGE_H
#define TEST_IMAGE_H

#include "harness.h"
#include <lazymem/backing.h>

struct image {
	unsigned char *bytes; /* all of it, in plain memory; rounded up with zeros to a page */
	uint64_t length;      /* bytes; need not be whole pages */
	const char *layout;   /* per 4 KiB page, repeated: d(ata), z(ero bytes), h(ole) */
};

void image_create(struct image *image, uint64_t length, const char *layout, uint64_t seed);
void image_destroy(struct image *image);

/* The layout's letter for the page that holds `offset`. */
char image_letter(const struct image *image, uint64_t offset);

/* A sparse file with these contents, in the scratch directory; returns scratch_path(name). */
const char *image_write(const struct image *image, const char *name);

/* Is `memory` what the image has at `offset`? Says where they part. */
bool image_matches(const struct image *image, uint64_t offset, const void *memory, size_t length);

/* Is it all zeros? */
bool all_zero(const void *memory, size_t length);

#endif
