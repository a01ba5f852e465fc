/* SPDX-License-Identifier: MIT
 *
 * source.h - an image as a backing object that a test holds in its hand: reads
 * wait until they are let go, fail while they shall, and are counted by page.
 * What the wrappers of <lazymem/inject.h> do by time and number, this one does
 * by event. A read in parts counts as one, and each page of its parts.
 */
#ifndef TEST_SOURCE_H
#define TEST_SOURCE_H

#include "image.h"
#include <pthread.h>

/* What an object can do beside plain reads. */
struct source_options {
	bool takes_parts;       /* in reads */
	unsigned char identity; /* every byte of it; 0: none */
};

struct source {
	const struct image *image;
	struct lazymem_backing *backing; /* the test's reference */
	struct source_options options;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t hold_start, hold_length; /* reads that overlap wait; length 0: none do */
	struct lazymem_read *held;        /* a list through their scratch */
	unsigned held_count;
	uint64_t fail_start, fail_length, fail_count;
	int error;
	uint64_t reads, bytes;
	uint64_t part_reads;  /* of these, in parts */
	unsigned *page_reads; /* by 4 KiB page of the image */
	unsigned *page_hints; /* the same, of what is to be read ahead */
};

void source_create(struct source *source, const struct image *image);

/* The same, of an object that can do more. */
void source_create_with(struct source *source, const struct image *image,
			struct source_options options);

/* Drops the reference; nothing else may hold one any more. */
void source_destroy(struct source *source);

/* From now on reads that overlap the range wait for source_release. */
void source_hold(struct source *source, uint64_t start, uint64_t length);
void source_release(struct source *source);

/* Wait until `count` reads are held, at most SOON_NS. */
bool source_await_held(struct source *source, unsigned count);

/* The next `count` reads that overlap the range end with `error`; error 0: none does. */
void source_fail(struct source *source, uint64_t start, uint64_t length, int error, uint64_t count);

/* Reads so far; of these, in parts; and the most that any 4 KiB page of the
 * range was read. */
uint64_t source_reads(struct source *source);
uint64_t source_part_reads(struct source *source);
unsigned source_most_reads(struct source *source, uint64_t start, uint64_t length);

/* How often any 4 KiB page of the range was to be read ahead, at most; how many
 * pages of the image were. */
unsigned source_most_hints(struct source *source, uint64_t start, uint64_t length);
uint64_t source_hinted(struct source *source);

#endif
