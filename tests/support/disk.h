/* SPDX-License-Identifier: MIT
 *
 * disk.h - a backing object that can be written, and that forgets what was not
 * flushed: what a power failure would leave is `durable`, what reads give is
 * `bytes`. Writes and flushes fail while they shall.
 */
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include "image.h"
#include <pthread.h>
#include <stdatomic.h>

struct disk {
	struct lazymem_backing *backing; /* the test's reference */
	pthread_mutex_t lock;
	unsigned char *bytes, *durable;
	uint64_t length;
	bool has_holes; /* it takes discards */
	atomic_bool fails_reads, fails_writes, fails_flushes;
	uint64_t written; /* bytes so far */
	uint64_t flushes;
};

/* It holds the image. */
void disk_create(struct disk *disk, const struct image *image, bool has_holes);
void disk_destroy(struct disk *disk);

#endif
