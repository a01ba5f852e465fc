/* SPDX-License-Identifier: MIT
 *
 * queue.h - the io_uring queue that the backing objects and the workers share.
 * queue.c is the one place that includes <liburing.h>.
 *
 * A queue belongs to one thread, which alone calls every function here but
 * lm_queue_wake. An operation is embedded in its owner's struct, which stays
 * where it is until the operation is over. It completes exactly once (a poll:
 * once for each readiness, until it is cancelled or fails), and always from
 * inside lm_queue_run. A completion may start and cancel operations, its own
 * included, but not call lm_queue_run.
 */
#ifndef LM_QUEUE_H
#define LM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_queue;

struct lm_operation {
	/* result: bytes, a poll mask, or a negative errno value. `more` is true
	 * while a poll stays armed; the operation is over when it is false. */
	void (*complete)(struct lm_operation *operation, int result, bool more);

	/* The rest is the queue's own. */
	struct lm_operation *next;             /* in the list of those the kernel refused */
	struct lm_operation *next_uncancelled; /* in the list of those to cancel again */
	int fd;                                /* what a poll is armed on */
	int refusal;                           /* the kernel's error */
	unsigned char kind;
	bool cancelled; /* a poll that must not be armed again */
};

/* entries: operations that can be started before a submission has to be
 * flushed; not a limit to what is in flight. The thread that calls it owns the
 * queue. -EINVAL for no entries, -ENOMEM, -EMFILE, -ENOSYS and -EPERM where
 * io_uring is not to be had (the message says so). */
int lm_queue_create(unsigned entries, struct lm_queue **ret_queue);

/* Nothing may be in flight. NULL is allowed. */
void lm_queue_destroy(struct lm_queue *queue);

/* Read length (1 to INT32_MAX) bytes at offset of fd; may be short. */
void lm_queue_read(struct lm_queue *queue, struct lm_operation *operation, int fd, void *buffer,
		   size_t length, uint64_t offset);

/* Write length (1 to INT32_MAX) bytes at offset of fd; may be short. */
void lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
		    const void *buffer, size_t length, uint64_t offset);

/* fdatasync(2) of fd. It waits for no operation that is in flight. */
void lm_queue_datasync(struct lm_queue *queue, struct lm_operation *operation, int fd);

/* Multishot poll for input on fd, re-armed by the queue when the kernel drops
 * it. Tells of changes, not of levels: drain fd at each completion. */
void lm_queue_poll(struct lm_queue *queue, struct lm_operation *operation, int fd);

/* Ask for an early end of an operation, which still completes (-ECANCELED, or
 * as if nothing had been asked). Without effect on one that is over. */
void lm_queue_cancel(struct lm_queue *queue, struct lm_operation *operation);

/* Reads in flight: started and not yet completed. */
unsigned lm_queue_reads_in_flight(const struct lm_queue *queue);

/* Submit what is pending, wait up to timeout_ns (0: do not wait; UINT64_MAX:
 * for ever) for one completion or a wake, and call the completions that are
 * there. Returns how many were called, 0 after a wake or when the time is up,
 * or a negative errno value. */
int lm_queue_run(struct lm_queue *queue, uint64_t timeout_ns);

/* Make the lm_queue_run that waits, or else the next one, return. Several
 * wakes may become one. Any thread, while the queue is there. */
void lm_queue_wake(struct lm_queue *queue);

#endif
