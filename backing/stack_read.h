/* SPDX-License-Identifier: MIT
 *
 * stack_read.h - one read of a stack on its way: stack_plan.c turns it into
 * reads of files, batch by batch, stack_read.c sees them through, and
 * stack_deliver.c decodes, checks and copies what they brought.
 */
#ifndef LM_STACK_READ_H
#define LM_STACK_READ_H

#include "backing/codec.h"
#include "backing/stack.h"

#include <pthread.h>
#include <stdatomic.h>

#define LM_STACK_TRANSFERS 32 /* in flight for one read */
#define LM_STACK_RUNS 128

/* Bytes in memory of a compressed chunk, at most; and room for what is stored
 * of two, with the rest of their first and last blocks. */
#define LM_STACK_DECODED (LM_CHUNK_PAGES * LM_SNAPSHOT_PAGE)
#define LM_STACK_STAGING (2 * LM_STACK_DECODED + 8 * LM_SNAPSHOT_PAGE)

/* Bytes that are wanted of one chunk. */
struct lm_stack_run {
	const struct lm_chunk *chunk; /* compressed; NULL: raw */
	const uint32_t *sums;         /* of the first page that is touched; NULL: none */
	uint64_t position;            /* in the file: of the chunk, or of that page */
	size_t skip;                  /* bytes of the chunk, or of that page, in front */
	size_t length;
	unsigned char *to;
};

/* One read of a file. Its runs are in the order of the outer buffer. */
struct lm_stack_transfer {
	struct lazymem_read read; /* its context is the lm_stack_read */
	size_t source;
	uint64_t position;      /* in the file */
	uint64_t end;           /* of what is needed */
	unsigned char *staging; /* NULL: straight to its place */
	size_t absorbed;        /* raw bytes that are staged since the last compressed chunk */
	size_t first_run;
	size_t run_count;
	int error;
};

struct lm_stack_read {
	struct lm_stack_read *next; /* among the spare ones */
	struct lm_stack *stack;
	struct lazymem_read *outer;
	pthread_t thread; /* the one that outer->queue belongs to */

	/* Of a background read, under the lock of the stack. */
	struct lm_stack_read *next_background, **to_this;
	unsigned flags;   /* of the transfers that are submitted from now on */
	size_t hurriable; /* transfers that are in flight and stay where they are */

	/* What is not planned yet: `left` bytes from `offset` on, and the parts
	 * after `part`. */
	const struct lazymem_read_part *part;
	size_t parts_left;
	uint64_t offset;
	size_t left;
	unsigned char *to;
	const struct lm_chunk *chunk; /* where the last piece was */

	/* The batch. */
	atomic_uint pending; /* transfers in flight, and whoever is submitting */
	size_t transfer_count;
	size_t run_count;
	size_t staged; /* bytes of staging that are taken */
	int error;

	/* Kept from one read to the next. */
	unsigned char *staging;               /* LM_STACK_STAGING bytes, or NULL */
	unsigned char *decoded;               /* LM_STACK_DECODED bytes, or NULL */
	const struct lm_chunk *decoded_chunk; /* what is in there; NULL: nothing */
	struct lm_codec_context codec;

	struct lm_stack_run runs[LM_STACK_RUNS];
	struct lm_stack_transfer transfers[LM_STACK_TRANSFERS];
};

/* Plan the next batch: fills transfers and runs, and delivers what needs no
 * I/O. No transfers: the read is over. -ENOMEM, -EBADMSG. */
int lm_stack_plan_batch(struct lm_stack_read *state);

/* Bring what the transfers of the batch have read to its place. An error of a
 * transfer, -EBADMSG, -ENOMEM. */
int lm_stack_deliver_batch(struct lm_stack_read *state);

/* The same for a run whose chunk is in state->decoded. */
int lm_stack_deliver_decoded(struct lm_stack_read *state, const struct lm_stack_run *run);

#endif
