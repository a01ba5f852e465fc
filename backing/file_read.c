/* SPDX-License-Identifier: MIT
 *
 * file_read.c - how a file is read.
 *
 * A page that the kernel has cached costs one preadv2(RWF_NOWAIT) and is there
 * when lm_file_read returns. It is tried for small reads on an idle queue: with
 * reads in flight the ring takes one more in a system call that is due anyway.
 * What the cache does not have goes through the queue, or is read with pread
 * when there is none.
 *
 * A read that ends short is continued where it stopped, step by step, until
 * all of it is there. A step of no bytes is the end of the file in front of
 * where it was when it was opened: the file shrank, and the read fails.
 *
 * With O_DIRECT each step chooses its descriptor: direct for the aligned front
 * part, buffered for a buffer or an offset that is not aligned and for the rest
 * below one block, as at the end of the file. A direct step that the file
 * system refuses for its alignment is read buffered.
 *
 * An object that leaves the page cache as it is asks it before each step, and
 * takes O_DIRECT for what is not there as a whole.
 *
 * The state of a read lies in its scratch bytes. It is gone once
 * lazymem_read_complete was called, and the file may be too.
 */
#include "backing/file_object.h"

#include "backing/page_cache.h"
#include "backing/queue.h"
#include "core/checked.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

/* Up to here a copy out of the page cache is short enough to hold up a worker. */
#define CACHED_READ_LIMIT ((size_t)64 << 10)

/* One step: what a single read is sure to accept. */
#define STEP_LIMIT (UINT64_C(1) << 30)

struct file_read {
	struct lm_operation operation;
	struct lm_file *file;
	struct lazymem_read *read;
	size_t received;
	bool is_direct;      /* the step in flight */
	bool refuses_direct; /* every further step is buffered */
};

_Static_assert(sizeof(struct file_read) <= LAZYMEM_READ_SCRATCH, "a read fits into its scratch");
_Static_assert(_Alignof(struct file_read) <= _Alignof(uint64_t), "and is aligned there");

/* The next piece to ask for. */
struct step {
	int fd;
	void *buffer;
	uint64_t offset; /* in the file */
	size_t length;
};

static struct step next_step(struct file_read *state)
{
	const struct lm_file *file = state->file;
	const struct lazymem_read *read = state->read;
	struct step step = {
		.fd = file->fd,
		.buffer = (char *)read->buffer + state->received,
		.offset = file->start + read->offset + state->received,
		.length = (size_t)lm_min(read->length - state->received, STEP_LIMIT),
	};

	state->is_direct =
		file->direct_fd >= 0 && !state->refuses_direct &&
		step.length >= file->offset_alignment &&
		lm_is_aligned(step.offset, file->offset_alignment) &&
		lm_is_aligned((uintptr_t)step.buffer, file->memory_alignment) &&
		!(file->asks_cache && lm_page_cache_has(file->fd, step.offset, step.length) > 0);
	if (state->is_direct) {
		step.fd = file->direct_fd;
		step.length = (size_t)lm_align_down(step.length, file->offset_alignment);
	}
	return step;
}

enum progress {
	GO_ON,
	OVER,
};

/* What the result of a step (bytes, or a negative errno value) means. */
static enum progress take_result(struct file_read *state, ssize_t result, int *ret_error)
{
	if (result == -EINTR)
		return GO_ON;
	if (result == -EINVAL && state->is_direct) {
		state->refuses_direct = true;
		return GO_ON;
	}
	if (result <= 0) {
		*ret_error = result == 0 ? -ENODATA : (int)result;
		return OVER;
	}
	state->received += (size_t)result;
	*ret_error = 0;
	return state->received < state->read->length ? GO_ON : OVER;
}

/* Read what is left on this thread. */
static int read_blocking(struct file_read *state)
{
	enum progress progress;
	int error;

	do {
		const struct step step = next_step(state);
		const ssize_t result = pread(step.fd, step.buffer, step.length, (off_t)step.offset);

		progress = take_result(state, result < 0 ? -errno : result, &error);
	} while (progress == GO_ON);
	return error;
}

static void queue_step(struct file_read *state, struct step step)
{
	lm_queue_read(state->read->queue, &state->operation, step.fd, step.buffer, step.length,
		      step.offset);
}

static void step_completed(struct lm_operation *operation, int result, bool more)
{
	struct file_read *state = (struct file_read *)operation;
	int error;

	(void)more;
	if (result == -EAGAIN) /* the kernel has no way to finish it aside, or no memory to */
		lazymem_read_complete(state->read, read_blocking(state));
	else if (take_result(state, result, &error) == OVER)
		lazymem_read_complete(state->read, error);
	else
		queue_step(state, next_step(state));
}

static bool is_worth_a_cached_read(const struct file_read *state)
{
	const struct lazymem_read *read = state->read;

	return !state->is_direct && read->length <= CACHED_READ_LIMIT &&
	       lm_queue_reads_in_flight(read->queue) == 0 &&
	       !atomic_load_explicit(&state->file->refuses_nowait, memory_order_relaxed);
}

/* Take what the page cache has of the step. OVER when that is everything, or the
 * read has failed. */
static enum progress read_cached(struct file_read *state, struct step step, int *ret_error)
{
	const struct iovec iovec = {.iov_base = step.buffer, .iov_len = step.length};
	ssize_t result;

	if (!is_worth_a_cached_read(state))
		return GO_ON;
	result = preadv2(step.fd, &iovec, 1, (off_t)step.offset, RWF_NOWAIT);
	if (result >= 0)
		return take_result(state, result, ret_error);
	if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
		atomic_store_explicit(&state->file->refuses_nowait, true, memory_order_relaxed);
	return GO_ON; /* whatever the reason, the queue gets it again and reports it */
}

/* The first step is planned once: looking into the page cache is a system call. */
static void begin_on_queue(struct file_read *state)
{
	const struct step step = next_step(state);
	int error;

	if (read_cached(state, step, &error) == OVER)
		lazymem_read_complete(state->read, error);
	else
		queue_step(state, state->received == 0 ? step : next_step(state));
}

void lm_file_read(void *object, struct lazymem_read *read)
{
	struct file_read *state = (struct file_read *)(void *)read->scratch.bytes;

	*state = (struct file_read){
		.operation = {.complete = step_completed}, .file = object, .read = read};
	if (read->queue == NULL)
		lazymem_read_complete(read, read_blocking(state));
	else
		begin_on_queue(state);
}
