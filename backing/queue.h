/* SPDX-License-Identifier: MIT
 *
 * queue.h - the io_uring queue that the backing objects and the workers share.
 * queue.c is the one place that includes <liburing.h>.
 *
 * A queue belongs to one thread, which alone calls every function here but
 * lm_queue_wake. An operation is embedded in its owner's struct and completes
 * exactly once (a poll: once for each readiness, until it is cancelled), from
 * inside lm_queue_run.
 */
#ifndef LM_QUEUE_H
#define LM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lm_queue;

struct lm_operation {
	/* result: bytes, a poll mask, or a negative errno value. `more` is true
	 * while a poll stays armed. */
	void (*complete)(struct lm_operation *operation, int result, bool more);
};

/* entries: operations that can be in flight before a submission has to be
 * flushed; not a limit. The thread that calls it owns the queue. -ENOMEM,
 * -ENOSYS and -EPERM where io_uring is not to be had (the message says so). */
int lm_queue_create(unsigned entries, struct lm_queue **ret_queue);
void lm_queue_destroy(struct lm_queue *queue); /* nothing may be in flight */

/* Read length (at most INT32_MAX) bytes at offset of fd. */
void lm_queue_read(struct lm_queue *queue, struct lm_operation *operation, int fd, void *buffer,
		   size_t length, uint64_t offset);

/* Multishot poll for input on fd, re-armed by the queue when the kernel drops it. */
void lm_queue_poll(struct lm_queue *queue, struct lm_operation *operation, int fd);

/* Ask for an early end of an operation, which still completes (-ECANCELED, or
 * as if nothing had been asked). */
void lm_queue_cancel(struct lm_queue *queue, struct lm_operation *operation);

/* Reads in flight: submitted and not yet completed. */
unsigned lm_queue_reads_in_flight(const struct lm_queue *queue);

/* Submit what is pending, wait up to timeout_ns (0: do not wait; UINT64_MAX:
 * for ever) for one completion or a wake, and call the completions that are
 * there. Returns how many were called, or a negative errno value. */
int lm_queue_run(struct lm_queue *queue, uint64_t timeout_ns);

/* Make lm_queue_run return. Any thread. */
void lm_queue_wake(struct lm_queue *queue);

#endif
