/* SPDX-License-Identifier: MIT
 *
 * source.h - an image as a backing object that a test holds in its hand: reads
 * wait until they are let go, fail while they shall, and are counted by page.
 * What the wrappers of <lazymem/inject.h> do by time and number, this one does
 * by event.
 */
#ifndef TEST_SOURCE_H
#define TEST_SOURCE_H

#include "image.h"
#include <pthread.h>

struct source {
	const struct image *image;
	struct lazymem_backing *backing; /* the test's reference */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t hold_start, hold_length; /* reads that overlap wait; length 0: none do */
	struct lazymem_read *held;        /* a list through their scratch */
	unsigned held_count;
	uint64_t fail_start, fail_length, fail_count;
	int error;
	uint64_t reads, bytes;
	unsigned *page_reads; /* by 4 KiB page of the image */
};

void source_create(struct source *source, const struct image *image);

/* Drops the reference; nothing else may hold one any more. */
void source_destroy(struct source *source);

/* From now on reads that overlap the range wait for source_release. */
void source_hold(struct source *source, uint64_t start, uint64_t length);
void source_release(struct source *source);

/* Wait until `count` reads are held, at most SOON_NS. */
bool source_await_held(struct source *source, unsigned count);

/* The next `count` reads that overlap the range end with `error`; error 0: none does. */
void source_fail(struct source *source, uint64_t start, uint64_t length, int error, uint64_t count);

/* Reads so far; and the most that any 4 KiB page of the range was read. */
uint64_t source_reads(struct source *source);
unsigned source_most_reads(struct source *source, uint64_t start, uint64_t length);

#endif
