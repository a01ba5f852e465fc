/* SPDX-License-Identifier: MIT
 *
 * contract_storage.h - a backing object whose operations fail when a test says
 * so, whose power fails, and of which one can see at any time what it would hold then:
 *
 *   gate  ->  power, or nothing  ->  bytes, or a file
 *
 * Only what is behind the power survives its failure; without it, everything does.
 */
#ifndef TEST_CONTRACT_STORAGE_H
#define TEST_CONTRACT_STORAGE_H

#include "harness.h"
#include <lazymem/backing.h>
#include <lazymem/inject.h>
#include <pthread.h>

#define STORAGE_FILE (1u << 0)     /* a sparse file; else bytes */
#define STORAGE_WRITABLE (1u << 1) /* else read-only */
#define STORAGE_POWER (1u << 2)    /* which can fail; only if writable */
#define STORAGE_HOLES (1u << 3)    /* it takes discards; only if writable */

/* What fails: the next `count` of these operations that overlap the range. */
struct storage_failure {
	struct lazymem_inject_range range;
	uint64_t count;
};

struct storage {
	struct lazymem_backing *backing; /* the gate */
	struct lazymem_backing *inner;   /* what is behind it */
	struct lazymem_backing *power;   /* the same, or NULL */
	unsigned flags;
	uint64_t length;      /* bytes */
	unsigned char *bytes; /* that survive; NULL where there are none of its own */
	char *path;           /* the same, as a file */
	int fd;

	pthread_mutex_t lock;
	struct storage_failure reads, writes;
	uint64_t failed_writes; /* writes, flushes and discards that failed so far */
};

/* Have scratch files in memory, where that can be: a disk takes too long to make thousands of
 * them durable. First thing in a program. */
void storage_in_memory(void);

/* An object that holds these bytes; those of whole pages of zeros are holes in a file.
 * `name` is of its file in the scratch directory. */
void storage_create(struct storage *storage, unsigned flags, const unsigned char *bytes,
		    uint64_t length, const char *name);

/* A gate in front of another object, read-only. */
void storage_create_over(struct storage *storage, struct lazymem_backing *inner);

void storage_destroy(struct storage *storage);

/* Let go of the object and make it anew from what has survived. */
void storage_reopen(struct storage *storage);

/* The power fails, and comes back: see lazymem_inject_power_failure. */
void storage_lose_power(struct storage *storage, uint64_t seed);

/* What would be read if the power failed now and nothing survived of what waits. */
void storage_read_durable(struct storage *storage, uint64_t offset, unsigned char *bytes,
			  size_t length);

/* Is the range a hole of the file now, as the file system tells? Only of a file without power. */
bool storage_is_hole(const struct storage *storage, uint64_t offset, uint64_t length);

/* Reads, or anything else, fail from now on; a count of 0: nothing does. */
void storage_fail(struct storage *storage, struct storage_failure failure);

/* Nothing fails any more. */
void storage_heal(struct storage *storage);

/* Would a read of the range fail? */
bool storage_fails_reads(struct storage *storage, uint64_t offset, uint64_t length);

/* Can any write, flush or discard fail? How many have so far? */
bool storage_fails_writes(struct storage *storage);
uint64_t storage_failed_writes(struct storage *storage);

#endif
