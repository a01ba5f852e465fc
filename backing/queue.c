/* SPDX-License-Identifier: MIT
 *
 * queue.c - one io_uring and the one place where a worker waits.
 *
 * System calls are what a fault pays for, so there is one for "submit what was
 * started, wait, collect": the ring is set up to be used by one thread
 * (SINGLE_ISSUER) and to finish its work only when that thread enters the
 * kernel anyway (DEFER_TASKRUN), which also spares the interrupts that would
 * otherwise break into a running thread. Where the kernel knows neither, less
 * is asked for. lm_queue_run with completions at hand and nothing to submit
 * makes no system call at all.
 *
 *   operation:  started --> submitted --> CQE --> completed
 *                   \                              ^
 *                    +--> refused (kernel error) --+
 *
 * Invariants:
 *  - user_data is the operation; a cancel request has none, and its answer is
 *    passed over.
 *  - An operation that cannot be submitted goes to the list of refused ones
 *    and completes from the next lm_queue_run: completions never nest inside
 *    lm_queue_read.
 *  - lm_queue_run completes only what was there when it looked, so completions
 *    that start new operations cannot keep it from returning. What overflows
 *    the CQ ring waits in the kernel (NODROP) and is fetched by the next call.
 *  - A read of the wake-up eventfd is always in flight. It is started again by
 *    an SQE that travels with the next submission, so a wake costs the woken
 *    side no system call of its own. `woken` is true from a lm_queue_wake until
 *    that read has completed; while it is, further wakes write nothing.
 */
#include "backing/queue.h"

#include "core/clock.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum operation_kind {
	OPERATION_READ = 1,
	OPERATION_POLL = 2,
	OPERATION_WAKE = 3,
	OPERATION_WRITE = 4, /* and what makes it durable */
};

/* Room for completions that come while nobody collects them, before the
 * kernel has to allocate: a poll completes many times. */
enum { COMPLETIONS_PER_ENTRY = 4 };

struct lm_queue {
	struct io_uring ring;
	unsigned reads;               /* in flight */
	unsigned writes;              /* in flight, and what makes them durable */
	struct lm_operation *refused; /* first in, first out */
	struct lm_operation **refused_end;
	struct lm_operation wake;
	int wake_fd;
	uint64_t wake_value; /* what the read of wake_fd delivers; unused */
	bool wake_over;      /* that read is not in flight any more */
	bool is_closing;
	bool is_registered; /* ring.enter_ring_fd is the index of a registered descriptor */
	struct lm_operation *uncancelled; /* polls whose cancel the kernel did not take yet */
	atomic_bool woken;                /* a wake is under way */
};

/* ---- submission ---------------------------------------------------------- */

/* Submit what was started, and run deferred work when there is any. */
static int flush(struct lm_queue *queue)
{
	int result;

	do
		result = io_uring_submit(&queue->ring);
	while (result == -EINTR);
	return result < 0 ? result : 0;
}

static void refuse(struct lm_queue *queue, struct lm_operation *operation, int error)
{
	operation->refusal = error;
	operation->next = NULL;
	*queue->refused_end = operation;
	queue->refused_end = &operation->next;
}

/* A free SQE; NULL when the ring is full and the kernel takes nothing. */
static struct io_uring_sqe *take_sqe(struct lm_queue *queue, int *ret_error)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);

	if (sqe != NULL)
		return sqe;
	*ret_error = flush(queue);
	sqe = io_uring_get_sqe(&queue->ring);
	if (sqe == NULL && *ret_error == 0)
		*ret_error = -EAGAIN;
	return sqe;
}

/* An SQE for an operation, which is refused when there is none. */
static struct io_uring_sqe *start(struct lm_queue *queue, struct lm_operation *operation,
				  enum operation_kind kind, int fd)
{
	struct io_uring_sqe *sqe;
	int error;

	operation->kind = (unsigned char)kind;
	operation->fd = fd;
	sqe = take_sqe(queue, &error);
	if (sqe == NULL)
		refuse(queue, operation, error);
	return sqe;
}

void lm_queue_read(struct lm_queue *queue, struct lm_operation *operation, int fd, void *buffer,
		   size_t length, uint64_t offset)
{
	struct io_uring_sqe *sqe;

	assert(length > 0 && length <= INT32_MAX);
	queue->reads++;
	sqe = start(queue, operation, OPERATION_READ, fd);
	if (sqe == NULL)
		return;
	io_uring_prep_read(sqe, fd, buffer, (unsigned)length, offset);
	io_uring_sqe_set_data(sqe, operation);
}

void lm_queue_write(struct lm_queue *queue, struct lm_operation *operation, int fd,
		    const void *buffer, size_t length, uint64_t offset)
{
	struct io_uring_sqe *sqe;

	assert(length > 0 && length <= INT32_MAX);
	queue->writes++;
	sqe = start(queue, operation, OPERATION_WRITE, fd);
	if (sqe == NULL)
		return;
	io_uring_prep_write(sqe, fd, buffer, (unsigned)length, offset);
	io_uring_sqe_set_data(sqe, operation);
}

void lm_queue_datasync(struct lm_queue *queue, struct lm_operation *operation, int fd)
{
	struct io_uring_sqe *sqe;

	queue->writes++;
	sqe = start(queue, operation, OPERATION_WRITE, fd);
	if (sqe == NULL)
		return;
	io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data(sqe, operation);
}

static void arm_poll(struct lm_queue *queue, struct lm_operation *operation)
{
	struct io_uring_sqe *sqe = start(queue, operation, OPERATION_POLL, operation->fd);

	if (sqe == NULL)
		return;
	io_uring_prep_poll_multishot(sqe, operation->fd, POLLIN);
	io_uring_sqe_set_data(sqe, operation);
}

void lm_queue_poll(struct lm_queue *queue, struct lm_operation *operation, int fd)
{
	operation->fd = fd;
	operation->cancelled = false;
	arm_poll(queue, operation);
}

static void arm_wake(struct lm_queue *queue)
{
	struct io_uring_sqe *sqe = start(queue, &queue->wake, OPERATION_WAKE, queue->wake_fd);

	if (sqe == NULL)
		return;
	io_uring_prep_read(sqe, queue->wake_fd, &queue->wake_value, sizeof(queue->wake_value), 0);
	io_uring_sqe_set_data(sqe, &queue->wake);
}

void lm_queue_cancel(struct lm_queue *queue, struct lm_operation *operation)
{
	struct io_uring_sqe *sqe;
	int error;

	operation->cancelled = true;
	sqe = take_sqe(queue, &error);
	if (sqe == NULL) { /* it must not be lost: somebody waits for this end */
		operation->next_uncancelled = queue->uncancelled;
		queue->uncancelled = operation;
		return;
	}
	io_uring_prep_cancel(sqe, operation, 0);
	io_uring_sqe_set_data(sqe, NULL);
}

unsigned lm_queue_reads_in_flight(const struct lm_queue *queue)
{
	return queue->reads;
}

/* ---- completion ---------------------------------------------------------- */

/* `armed`: the kernel keeps the poll. Armed again before the completion is
 * called, so that a cancel from inside it finds the poll in front of it. */
static void complete_poll(struct lm_queue *queue, struct lm_operation *poll, int result, bool armed)
{
	bool more = armed;

	if (!armed && result >= 0 && !poll->cancelled) {
		arm_poll(queue, poll);
		more = true;
	}
	poll->complete(poll, result, more);
}

static void complete_wake(struct lm_queue *queue)
{
	if (queue->is_closing) {
		queue->wake_over = true;
		return;
	}
	atomic_exchange(&queue->woken, false);
	arm_wake(queue);
}

/* How many completions were called: 1, or 0 for the queue's own operations. */
static int complete(struct lm_queue *queue, struct lm_operation *operation, int result, bool armed)
{
	if (operation == NULL)
		return 0;
	switch ((enum operation_kind)operation->kind) {
	case OPERATION_READ:
		queue->reads--;
		operation->complete(operation, result, false);
		return 1;
	case OPERATION_WRITE:
		queue->writes--;
		operation->complete(operation, result, false);
		return 1;
	case OPERATION_POLL:
		complete_poll(queue, operation, result, armed);
		return 1;
	case OPERATION_WAKE:
		complete_wake(queue);
		break;
	}
	return 0;
}

static int complete_refused(struct lm_queue *queue)
{
	struct lm_operation *operation = queue->refused;
	int called = 0;

	queue->refused = NULL;
	queue->refused_end = &queue->refused;
	while (operation != NULL) {
		struct lm_operation *next = operation->next;

		called += complete(queue, operation, operation->refusal, false);
		operation = next;
	}
	return called;
}

static int complete_ready(struct lm_queue *queue)
{
	unsigned ready = io_uring_cq_ready(&queue->ring);
	int called = 0;

	while (ready-- > 0) {
		struct lm_operation *operation;
		struct io_uring_cqe *cqe;
		bool armed;
		int result;

		if (io_uring_peek_cqe(&queue->ring, &cqe) != 0)
			break;
		operation = io_uring_cqe_get_data(cqe);
		result = cqe->res;
		armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
		io_uring_cqe_seen(&queue->ring, cqe);
		called += complete(queue, operation, result, armed);
	}
	return called;
}

/* ---- waiting ------------------------------------------------------------- */

/* The most common wait, with nothing to submit and no end: straight into the
 * kernel, as the worker of a fault that was just served comes here. */
static int wait_only(struct lm_queue *queue)
{
	struct io_uring *ring = &queue->ring;
	unsigned flags = IORING_ENTER_GETEVENTS;
	int result;

	if (queue->is_registered)
		flags |= IORING_ENTER_REGISTERED_RING;
	do
		result = io_uring_enter((unsigned)ring->enter_ring_fd, 0, 1, flags, NULL);
	while (result == -EINTR);
	return result < 0 ? result : 0;
}

/* Submit and wait in one system call; a signal does not end the wait. */
static int submit_and_wait(struct lm_queue *queue, uint64_t timeout_ns)
{
	const bool is_bounded = timeout_ns != UINT64_MAX;
	const uint64_t start_ns = is_bounded ? lm_clock_ns() : 0;
	uint64_t passed = 0;
	int result;

	if (!is_bounded && io_uring_sq_ready(&queue->ring) == 0)
		return wait_only(queue);
	do {
		const uint64_t left = timeout_ns > passed ? timeout_ns - passed : 0;
		struct __kernel_timespec timeout = {
			.tv_sec = (long long)(left / LM_NS_PER_S),
			.tv_nsec = (long long)(left % LM_NS_PER_S),
		};
		struct io_uring_cqe *cqe;

		result = io_uring_submit_and_wait_timeout(&queue->ring, &cqe, 1,
							  is_bounded ? &timeout : NULL, NULL);
		if (result == -EINTR && is_bounded)
			passed = lm_clock_ns() - start_ns;
	} while (result == -EINTR);
	return result < 0 && result != -ETIME ? result : 0;
}

static void cancel_again(struct lm_queue *queue)
{
	struct lm_operation *operation = queue->uncancelled, *next;

	queue->uncancelled = NULL;
	for (; operation != NULL; operation = next) {
		next = operation->next_uncancelled;
		lm_queue_cancel(queue, operation);
	}
}

int lm_queue_run(struct lm_queue *queue, uint64_t timeout_ns)
{
	int called = complete_refused(queue);
	int error;

	if (queue->uncancelled != NULL) {
		cancel_again(queue);
		timeout_ns = 0; /* room in the ring wakes nobody */
	}

	if (timeout_ns == 0 || called > 0 || io_uring_cq_ready(&queue->ring) > 0)
		error = flush(queue);
	else
		error = submit_and_wait(queue, timeout_ns);
	called += complete_ready(queue);
	/* EAGAIN, EBUSY: not everything could be submitted now; the next call tries again */
	if (error != 0 && called == 0 && error != -EAGAIN && error != -EBUSY)
		return lm_error_errno(error, "cannot wait on the io_uring queue");
	return called;
}

void lm_queue_wake(struct lm_queue *queue)
{
	if (!atomic_exchange(&queue->woken, true))
		eventfd_write(queue->wake_fd, 1);
}

/* ---- life ---------------------------------------------------------------- */

/* The best kind of ring that this kernel offers. */
static int set_up_ring(unsigned entries, struct io_uring *ring)
{
	static const unsigned wishes[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
			IORING_SETUP_SUBMIT_ALL,
		IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
		0,
	};
	const unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG;
	int error = -EINVAL;

	for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]) && error == -EINVAL; i++) {
		struct io_uring_params params = {
			.flags = wishes[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.cq_entries = entries * COMPLETIONS_PER_ENTRY,
		};

		error = io_uring_queue_init_params(entries, ring, &params);
	}
	if (error != 0)
		return lm_error_errno(error, "io_uring is not to be had here (%s)",
				      error == -ENOSYS  ? "this kernel has none"
				      : error == -EPERM ? "see kernel.io_uring_disabled and the "
							  "seccomp filter"
							: "its set-up failed");
	if ((ring->features & needed) != needed) {
		io_uring_queue_exit(ring);
		return lm_error(-ENOSYS, "io_uring of this kernel is too old: 5.11 is needed");
	}
	return 0;
}

int lm_queue_create(unsigned entries, struct lm_queue **ret_queue)
{
	struct lm_queue *queue;
	int error;

	if (entries == 0 || entries > INT16_MAX)
		return lm_error(-EINVAL, "a queue cannot have %u entries", entries);
	queue = calloc(1, sizeof(*queue));
	if (queue == NULL)
		return lm_error(-ENOMEM, "no memory for a queue");
	queue->refused_end = &queue->refused;
	queue->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (queue->wake_fd < 0) {
		error = lm_error_errno(-errno, "cannot open the eventfd of a queue");
		goto fail;
	}
	error = set_up_ring(entries, &queue->ring);
	if (error != 0)
		goto fail;
	/* spares a look-up of the ring's descriptor at each call; fine without */
	queue->is_registered = io_uring_register_ring_fd(&queue->ring) == 1;
	arm_wake(queue);
	*ret_queue = queue;
	return 0;

fail:
	if (queue->wake_fd >= 0)
		close(queue->wake_fd);
	free(queue);
	return error;
}

void lm_queue_destroy(struct lm_queue *queue)
{
	if (queue == NULL)
		return;
	assert(queue->reads == 0 && queue->writes == 0);
	/* the kernel may write to wake_value until its read is over */
	queue->is_closing = true;
	lm_queue_cancel(queue, &queue->wake);
	while (!queue->wake_over)
		if (lm_queue_run(queue, UINT64_MAX) < 0)
			break;
	io_uring_queue_exit(&queue->ring);
	close(queue->wake_fd);
	free(queue);
}
