/* SPDX-License-Identifier: MIT
 *
 * stack_read.c - how a read of a stack is seen through.
 *
 *            +------------------- more to do ------------------+
 *            v                                                 |
 *   read -> plan a batch -> submit its transfers -> the last is over -> deliver
 *            |                                                             |
 *            +--- nothing left, or an error ---> complete <--- an error ---+
 *
 * `pending` counts the transfers of the batch that are in flight, and one for
 * whoever is submitting them. Whoever takes it to zero goes on: the one that
 * submits, when all of them completed inside of submit, which is a loop and no
 * recursion; else the completion of the last one, on whatever thread that is.
 * So exactly one thread has the state at any time, and the read completes once,
 * after everything that may write to its buffer is over.
 *
 * A queue belongs to one thread. When a transfer of a custom object was the last
 * to complete, on a thread of its own, what is left is read without the queue,
 * on that thread.
 *
 * A background read is in a list while it is in flight, so that it can be found
 * when somebody waits for it after all. Its transfers can be hurried, under the
 * lock, from when all of them were submitted until whoever takes `pending` to zero
 * has the state for itself. Other reads pay nothing for it.
 *
 * States are kept in the stack for the next read, the last one used first, with
 * their memory: in the steady state nothing is allocated. They go back before
 * the read completes, because its completion may drop the last reference.
 */
#include "backing/stack_read.h"

#include <errno.h>
#include <stdlib.h>

/* ---- states --------------------------------------------------------------- */

static struct lm_stack_read *take_state(struct lm_stack *stack)
{
	struct lm_stack_read *state;

	pthread_mutex_lock(&stack->lock);
	state = stack->spare;
	if (state != NULL)
		stack->spare = state->next;
	pthread_mutex_unlock(&stack->lock);
	if (state != NULL)
		return state;
	state = calloc(1, sizeof(*state));
	if (state != NULL)
		state->stack = stack;
	return state;
}

static void give_back(struct lm_stack_read *state)
{
	struct lm_stack *stack = state->stack;

	pthread_mutex_lock(&stack->lock);
	state->next = stack->spare;
	stack->spare = state;
	pthread_mutex_unlock(&stack->lock);
}

void lm_stack_free_reads(struct lm_stack *stack)
{
	while (stack->spare != NULL) {
		struct lm_stack_read *state = stack->spare;

		stack->spare = state->next;
		lm_codec_context_destroy(&state->codec);
		free(state->staging);
		free(state->decoded);
		free(state);
	}
}

/* ---- background ----------------------------------------------------------- */

static bool is_background(const struct lm_stack_read *state)
{
	return (state->outer->flags & LAZYMEM_READ_BACKGROUND) != 0;
}

static void enter_background(struct lm_stack_read *state)
{
	struct lm_stack *stack = state->stack;

	pthread_mutex_lock(&stack->lock);
	state->next_background = stack->background;
	state->to_this = &stack->background;
	if (state->next_background != NULL)
		state->next_background->to_this = &state->next_background;
	stack->background = state;
	state->hurriable = 0;
	pthread_mutex_unlock(&stack->lock);
}

static void leave_background(struct lm_stack_read *state)
{
	pthread_mutex_lock(&state->stack->lock);
	*state->to_this = state->next_background;
	if (state->next_background != NULL)
		state->next_background->to_this = state->to_this;
	pthread_mutex_unlock(&state->stack->lock);
}

/* Under the lock. */
static void hurry_transfers(struct lm_stack_read *state)
{
	for (size_t i = 0; i < state->hurriable; i++) {
		struct lm_stack_transfer *transfer = &state->transfers[i];

		lazymem_backing_hurry(state->stack->sources[transfer->source].file,
				      &transfer->read);
	}
}

/* All transfers of the batch were submitted with these flags. Who has come to wait
 * meanwhile has found none to hurry. */
static void let_hurry(struct lm_stack_read *state, unsigned flags)
{
	if (!is_background(state))
		return;
	pthread_mutex_lock(&state->stack->lock);
	state->hurriable = state->transfer_count;
	if (state->flags != flags)
		hurry_transfers(state);
	pthread_mutex_unlock(&state->stack->lock);
}

static void stop_hurrying(struct lm_stack_read *state)
{
	if (!is_background(state))
		return;
	pthread_mutex_lock(&state->stack->lock);
	state->hurriable = 0;
	pthread_mutex_unlock(&state->stack->lock);
}

static unsigned flags_from_now_on(struct lm_stack_read *state)
{
	unsigned flags;

	if (!is_background(state))
		return state->flags;
	pthread_mutex_lock(&state->stack->lock);
	flags = state->flags;
	pthread_mutex_unlock(&state->stack->lock);
	return flags;
}

void lm_stack_hurry(void *object, struct lazymem_read *read)
{
	struct lm_stack *stack = object;
	struct lm_stack_read *state;

	pthread_mutex_lock(&stack->lock);
	for (state = stack->background; state != NULL; state = state->next_background)
		if (state->outer == read)
			break;
	if (state != NULL) {
		state->flags = 0;
		hurry_transfers(state);
	}
	pthread_mutex_unlock(&stack->lock);
}

/* ---- progress ------------------------------------------------------------- */

static void finish(struct lm_stack_read *state)
{
	struct lazymem_read *outer = state->outer;
	const int error = state->error;

	if (is_background(state))
		leave_background(state);
	give_back(state);
	lazymem_read_complete(outer, error);
}

static void go_on(struct lm_stack_read *state);

static void transfer_completed(struct lazymem_read *read, int error)
{
	struct lm_stack_transfer *transfer = (struct lm_stack_transfer *)(void *)read;
	struct lm_stack_read *state = read->context;

	transfer->error = error;
	if (atomic_fetch_sub_explicit(&state->pending, 1, memory_order_acq_rel) != 1)
		return;
	stop_hurrying(state);
	state->error = lm_stack_deliver_batch(state);
	go_on(state);
}

/* Submit the batch; true when all of it is over already. */
static bool submit_batch(struct lm_stack_read *state)
{
	struct lazymem_read *outer = state->outer;
	const unsigned flags = flags_from_now_on(state);
	void *queue = outer->queue;

	if (queue != NULL && !pthread_equal(pthread_self(), state->thread))
		queue = NULL;
	atomic_store_explicit(&state->pending, (unsigned)state->transfer_count + 1,
			      memory_order_relaxed);
	for (size_t i = 0; i < state->transfer_count; i++) {
		struct lm_stack_transfer *transfer = &state->transfers[i];

		transfer->read.offset = transfer->position;
		transfer->read.complete = transfer_completed;
		transfer->read.context = state;
		transfer->read.flags = flags;
		transfer->read.queue = queue;
		lazymem_backing_submit(state->stack->sources[transfer->source].file,
				       &transfer->read);
	}
	let_hurry(state, flags);
	if (atomic_fetch_sub_explicit(&state->pending, 1, memory_order_acq_rel) != 1)
		return false;
	stop_hurrying(state);
	return true;
}

/* Batch after batch, until one is in flight or the read is over. */
static void go_on(struct lm_stack_read *state)
{
	while (state->error == 0) {
		state->error = lm_stack_plan_batch(state);
		if (state->error != 0 || state->transfer_count == 0)
			break;
		if (!submit_batch(state))
			return;
		state->error = lm_stack_deliver_batch(state);
	}
	finish(state);
}

void lm_stack_submit(void *object, struct lazymem_read *read)
{
	struct lm_stack_read *state = take_state(object);

	if (state == NULL) {
		lazymem_read_complete(read, -ENOMEM);
		return;
	}
	state->outer = read;
	state->flags = read->flags;
	state->thread = pthread_self();
	state->error = 0;
	state->to = read->buffer;
	state->chunk = NULL;
	if (read->parts != NULL) {
		state->part = read->parts;
		state->parts_left = read->part_count - 1;
		state->offset = read->parts->offset;
		state->left = read->parts->length;
	} else {
		state->parts_left = 0;
		state->offset = read->offset;
		state->left = read->length;
	}
	if (is_background(state))
		enter_background(state);
	go_on(state);
}
