/* SPDX-License-Identifier: MIT
 *
 * nbd_reads.h - the reads of an NBD object that are not over: which of their bytes
 * are to be asked for next, and when they complete.
 */
#ifndef LM_NBD_READS_H
#define LM_NBD_READS_H

#include <lazymem/backing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a read, or a connection, is for. */
enum lm_nbd_role {
	LM_NBD_DEMAND,     /* somebody waits */
	LM_NBD_BACKGROUND, /* nobody does */
	LM_NBD_ROLES,
};

/* A read on its way, in its scratch bytes. */
struct lm_nbd_read {
	struct lazymem_read *read;
	struct lm_nbd_read *next, *previous; /* in its list */
	struct lm_nbd_read_list *list;
	size_t part;       /* the one that is asked for next */
	size_t in_part;    /* bytes of it that were */
	size_t asked;      /* bytes of the buffer that were asked for */
	unsigned requests; /* for it that are not over */
	int error;
	enum lm_nbd_role role;
};

struct lm_nbd_read_list {
	struct lm_nbd_read *first, *last;
};

struct lm_nbd_reads {
	pthread_mutex_t lock;
	struct lm_nbd_read_list unasked[LM_NBD_ROLES]; /* in the order in which they came */
	struct lm_nbd_read_list asked;                 /* wholly, and not over */
	int refusal;                                   /* what every read ends with; 0: none does */
	unsigned arrivals; /* demand reads since they were last counted */
	unsigned hurries;  /* reads hurried since then */
	bool sleeps;       /* the thread: whoever brings something wakes it */
};

/* Bytes of one part of a read. */
struct lm_nbd_range {
	struct lm_nbd_read *read;
	uint64_t offset;
	size_t length;
	unsigned char *buffer;
};

void lm_nbd_reads_init(struct lm_nbd_reads *reads);
void lm_nbd_reads_destroy(struct lm_nbd_reads *reads);

/* Any thread. Add a read, or complete it as all are refused; hurry one. True: the thread is to be woken. */
bool lm_nbd_reads_add(struct lm_nbd_reads *reads, struct lazymem_read *read);
bool lm_nbd_reads_hurry(struct lm_nbd_reads *reads, const struct lazymem_read *read);

/* The thread alone, from here on. */

/* Is nothing left to be asked for? */
bool lm_nbd_reads_is_idle(struct lm_nbd_reads *reads);

/* The next bytes that reads of this role want, at most `most`; the read has one
 * request more until lm_nbd_reads_request_over. False: there are none. */
bool lm_nbd_reads_next(struct lm_nbd_reads *reads, enum lm_nbd_role role, size_t most,
		       struct lm_nbd_range *ret_range);

/* Which role has this read by now? */
enum lm_nbd_role lm_nbd_reads_role(struct lm_nbd_reads *reads, const struct lm_nbd_read *read);

/* A request for the read is over. The last one completes it, and its first error
 * is what it ends with: nothing more of it is asked for then. */
void lm_nbd_reads_request_over(struct lm_nbd_reads *reads, struct lm_nbd_read *read, int error);

/* From now on every read is refused with this error, and those that have no
 * request under way end with it; 0: no more. */
void lm_nbd_reads_refuse(struct lm_nbd_reads *reads, int error);

#endif
