/* SPDX-License-Identifier: MIT
 *
 * inject_delay.c - a backing object whose reads, writes and flushes take their
 * time.
 *
 * A read goes to the inner object at once, with its queue, so that the I/O is
 * done where it always is. Only the completion is put off: when the inner read
 * is over before its time, the child waits in a list, sorted by when it is due,
 * and one thread of the object completes it then. A read that took longer by
 * itself completes at once where it is. Writes and flushes go the same way; a
 * discard sleeps.
 *
 * The lock guards the list and the two flags, and is never held while a
 * completion runs: it may submit the next read here, or drop the last
 * reference. In that case close runs on the object's own thread, which cannot
 * join itself; it is then left an orphan, and frees the object when it ends.
 *
 *   list empty, is_closing  ->  the thread ends
 *   is_closing  ->  nothing is in flight, so the list is empty and stays so
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"
#include "core/checked.h"
#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

struct delay {
	struct lm_wrapper wrapper;
	uint64_t nanoseconds;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* in CLOCK_MONOTONIC */
	struct lm_child *first, *last;
	bool is_closing;
	bool is_orphan; /* nobody joins the thread */
};

static void destroy(struct delay *delay)
{
	pthread_cond_destroy(&delay->changed);
	pthread_mutex_destroy(&delay->lock);
	lm_wrapper_destroy(&delay->wrapper);
}

/* The delay is the same for all reads, so the place is at or near the end. */
static void insert(struct delay *delay, struct lm_child *child)
{
	struct lm_child *before = delay->last;

	while (before != NULL && before->due_ns > child->due_ns)
		before = before->previous;
	child->previous = before;
	child->next = before != NULL ? before->next : delay->first;
	if (child->next != NULL)
		child->next->previous = child;
	else
		delay->last = child;
	if (before != NULL)
		before->next = child;
	else
		delay->first = child;
}

static struct lm_child *remove_first(struct delay *delay)
{
	struct lm_child *child = delay->first;

	delay->first = child->next;
	if (delay->first != NULL)
		delay->first->previous = NULL;
	else
		delay->last = NULL;
	return child;
}

/* The inner read, write or flush is over. */
static void complete_when_due(struct lm_child *child, int error)
{
	struct delay *delay = (struct delay *)child->wrapper;

	if (lm_clock_ns() >= child->due_ns) {
		lm_wrapper_complete(child, error);
		return;
	}
	child->error = error;
	pthread_mutex_lock(&delay->lock);
	insert(delay, child);
	pthread_cond_signal(&delay->changed);
	pthread_mutex_unlock(&delay->lock);
}

static void inner_read_over(struct lazymem_read *read, int error)
{
	complete_when_due(read->context, error);
}

static void inner_write_over(struct lazymem_write *write, int error)
{
	complete_when_due(write->context, error);
}

static void forward(struct lm_child *child)
{
	const struct delay *delay = (const struct delay *)child->wrapper;

	if (!lm_add(child->submitted_ns, delay->nanoseconds, &child->due_ns))
		child->due_ns = UINT64_MAX;
	lm_wrapper_forward(child);
}

static void delay_read(void *object, struct lazymem_read *read)
{
	struct delay *delay = object;
	struct lm_child *child;

	if (!lm_wrapper_hits(&delay->wrapper, read)) {
		lm_wrapper_pass(&delay->wrapper, read);
		return;
	}
	child = lm_wrapper_child(&delay->wrapper, read, read->length, inner_read_over);
	if (child != NULL)
		forward(child);
}

static void delay_write(void *object, struct lazymem_write *write)
{
	struct delay *delay = object;
	struct lm_child *child;

	if (!lm_wrapper_hits_bytes(&delay->wrapper, LAZYMEM_INJECT_WRITE, write->offset,
				   write->length)) {
		lm_wrapper_pass_write(&delay->wrapper, write);
		return;
	}
	child = lm_wrapper_write_child(&delay->wrapper, LAZYMEM_INJECT_WRITE, write, write->length,
				       inner_write_over);
	if (child != NULL)
		forward(child);
}

static void delay_flush(void *object, struct lazymem_write *flush)
{
	struct delay *delay = object;
	struct lm_child *child;

	if (!lm_wrapper_hits_flush(&delay->wrapper)) {
		lm_wrapper_pass_flush(&delay->wrapper, flush);
		return;
	}
	child = lm_wrapper_write_child(&delay->wrapper, LAZYMEM_INJECT_FLUSH, flush, 0,
				       inner_write_over);
	if (child != NULL)
		forward(child);
}

static int delay_discard(void *object, uint64_t offset, uint64_t length)
{
	const struct delay *delay = object;
	struct timespec left = {.tv_sec = (time_t)(delay->nanoseconds / LM_NS_PER_S),
				.tv_nsec = (long)(delay->nanoseconds % LM_NS_PER_S)};

	if (lm_wrapper_hits_bytes(&delay->wrapper, LAZYMEM_INJECT_DISCARD, offset, length))
		while (nanosleep(&left, &left) != 0 && errno == EINTR)
			continue;
	return lm_wrapper_discard(object, offset, length);
}

/* Wait, with the lock held, until the list changes or the first is due. */
static void wait_for_first(struct delay *delay)
{
	const uint64_t due_ns = delay->first->due_ns;
	const struct timespec until = {.tv_sec = (time_t)(due_ns / 1000000000),
				       .tv_nsec = (long)(due_ns % 1000000000)};

	pthread_cond_timedwait(&delay->changed, &delay->lock, &until);
}

static void *complete_what_is_due(void *argument)
{
	struct delay *delay = argument;
	bool is_orphan;

	pthread_mutex_lock(&delay->lock);
	while (delay->first != NULL || !delay->is_closing) {
		if (delay->first == NULL) {
			pthread_cond_wait(&delay->changed, &delay->lock);
		} else if (lm_clock_ns() < delay->first->due_ns) {
			wait_for_first(delay);
		} else {
			struct lm_child *child = remove_first(delay);

			pthread_mutex_unlock(&delay->lock);
			lm_wrapper_complete(child, child->error);
			pthread_mutex_lock(&delay->lock);
		}
	}
	is_orphan = delay->is_orphan;
	pthread_mutex_unlock(&delay->lock);
	if (is_orphan)
		destroy(delay);
	return NULL;
}

static void delay_close(void *object)
{
	struct delay *delay = object;
	const pthread_t thread = delay->thread;
	const bool is_orphan = pthread_equal(thread, pthread_self()) != 0;

	pthread_mutex_lock(&delay->lock);
	delay->is_closing = true;
	delay->is_orphan = is_orphan;
	pthread_cond_signal(&delay->changed);
	pthread_mutex_unlock(&delay->lock);
	if (is_orphan) {
		pthread_detach(thread);
		return;
	}
	pthread_join(thread, NULL);
	destroy(delay);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = delay_read,
	.extent = lm_wrapper_extent,
	.hurry = lm_wrapper_hurry,
	.identity = lm_wrapper_identity,
	.readahead = lm_wrapper_readahead,
	.write = delay_write,
	.flush = delay_flush,
	.discard = delay_discard,
	.close = delay_close,
};

/* A thread that takes no signals: they are the program's. */
static int start_thread(struct delay *delay)
{
	pthread_attr_t attributes;
	sigset_t all;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setsigmask_np(&attributes, &all);
	error = pthread_create(&delay->thread, &attributes, complete_what_is_due, delay);
	pthread_attr_destroy(&attributes);
	if (error != 0)
		return lm_error_errno(-error, "cannot start the thread that delays reads");
	return 0;
}

int lazymem_inject_delay(struct lazymem_backing *inner, struct lazymem_inject_range range,
			 uint64_t nanoseconds, struct lazymem_backing **ret_backing)
{
	pthread_condattr_t attributes;
	struct lazymem_backing *backing;
	struct delay *delay;
	int error;

	delay = lm_wrapper_create(sizeof(*delay), inner, range, &error);
	if (delay == NULL)
		return error;
	delay->nanoseconds = nanoseconds;
	pthread_mutex_init(&delay->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&delay->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	error = start_thread(delay);
	if (error != 0) {
		destroy(delay);
		return error;
	}
	error = lm_wrapper_publish(&delay->wrapper, &operations, "delayed", &backing);
	if (error != 0) {
		delay_close(delay);
		return error;
	}
	*ret_backing = backing;
	return 0;
}
