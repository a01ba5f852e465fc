/* SPDX-License-Identifier: MIT
 *
 * file_write.c - how a file is written, made durable, and given holes.
 *
 * A write that ends short is continued where it stopped, until all of it is
 * taken or the file system says why not.
 *
 * A write into the page cache is copying, and is done on the calling thread: a
 * queue would hand it to a thread of the kernel where the file system does not
 * promise that it will not wait (ext4), which costs several times as much. One
 * past the page cache waits for storage, so with a queue each step goes through it.
 *
 * An object that is read with O_DIRECT is written with it, always: a file whose
 * pages are written through the cache and past it at the same time can keep old
 * bytes in its cache, and the kernel reports the conflict as a lost write. So
 * there is no write through the cache for what is not aligned. Such a write is
 * put together in an aligned buffer, around which the blocks that it covers in
 * part are read first, on the calling thread and one at a time: two writes may
 * share a block without sharing a byte. A write that is aligned covers its blocks
 * as a whole, so it never shares one. The ends of such an object are aligned
 * (opening sees to it). One that leaves the page cache as it is reads past it
 * only; it is written through the cache, which the kernel keeps true for reads.
 *
 * fdatasync on one descriptor covers all writes to the file, whichever way they
 * were made.
 */
#include "backing/file_object.h"

#include "backing/queue.h"
#include "core/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One step: what a single write is sure to accept. */
#define STEP_LIMIT (UINT64_C(1) << 30)

/* Bytes of the aligned buffer, unless a block is larger. */
#define BOUNCE_SIZE (UINT64_C(256) << 10)

/* So many bytes of long writes in the page cache are enough for storage to begin
 * with them. What is scattered over short ones it takes no sooner for that, and
 * slows those that come after. */
#define LONG_WRITE (UINT64_C(32) << 10)
#define UNSTORED_LIMIT (UINT64_C(4) << 20)

struct file_write {
	struct lm_operation operation;
	struct lm_file *file;
	struct lazymem_write *write;
	size_t written;
};

_Static_assert(sizeof(struct file_write) <= LAZYMEM_WRITE_SCRATCH, "a write fits into its scratch");
_Static_assert(_Alignof(struct file_write) <= _Alignof(uint64_t), "and is aligned there");

/* The next piece to write. */
struct step {
	int fd;
	const void *buffer;
	uint64_t offset; /* in the file */
	size_t length;
};

static bool is_direct(const struct lm_file *file)
{
	return file->direct_fd >= 0 && !file->asks_cache;
}

static struct step next_step(const struct file_write *state)
{
	const struct lm_file *file = state->file;
	const struct lazymem_write *write = state->write;

	return (struct step){
		.fd = is_direct(file) ? file->direct_fd : file->fd,
		.buffer = (const char *)write->buffer + state->written,
		.offset = file->start + write->offset + state->written,
		.length = (size_t)lm_min(write->length - state->written, STEP_LIMIT),
	};
}

static bool needs_bounce(const struct lm_file *file, struct step step)
{
	return is_direct(file) && (!lm_is_aligned(step.offset, file->offset_alignment) ||
				   !lm_is_aligned(step.length, file->offset_alignment) ||
				   !lm_is_aligned((uintptr_t)step.buffer, file->memory_alignment));
}

enum progress {
	GO_ON,
	OVER,
};

/* What the result of a step (bytes, or a negative errno value) means. */
static enum progress take_result(struct file_write *state, ssize_t result, int *ret_error)
{
	if (result == -EINTR)
		return GO_ON;
	if (result <= 0) { /* a write that takes nothing and says nothing would go on for ever */
		*ret_error = result == 0 ? -EIO : (int)result;
		return OVER;
	}
	state->written += (size_t)result;
	*ret_error = 0;
	return state->written < state->write->length ? GO_ON : OVER;
}

/* ---- what is not aligned for O_DIRECT ------------------------------------ */

/* Read or write all of an aligned piece of the buffer. */
static int transfer(int fd, void *bytes, size_t length, uint64_t offset, bool writes)
{
	while (length != 0) {
		const ssize_t result = writes ? pwrite(fd, bytes, length, (off_t)offset)
					      : pread(fd, bytes, length, (off_t)offset);

		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0)
			return -errno;
		if (result == 0)
			return writes ? -EIO : -ENODATA; /* it shrank */
		bytes = (char *)bytes + result;
		offset += (uint64_t)result;
		length -= (size_t)result;
	}
	return 0;
}

/* Write up to a buffer full of `step`; the bytes taken, or a negative errno value. */
static ssize_t write_around(const struct lm_file *file, unsigned char *bounce, size_t bounce_size,
			    struct step step)
{
	const size_t block = (size_t)file->offset_alignment;
	const uint64_t start = lm_align_down(step.offset, block);
	const size_t before = (size_t)(step.offset - start);
	const size_t taken = (size_t)lm_min(step.length, bounce_size - before);
	const size_t length = (size_t)lm_align_down(before + taken + block - 1, block);
	const size_t last = length - block;
	int error = 0;

	if (before != 0 || taken < block)
		error = transfer(step.fd, bounce, block, start, false);
	if (error == 0 && last != 0 && before + taken != length)
		error = transfer(step.fd, bounce + last, block, start + last, false);
	if (error == 0) {
		memcpy(bounce + before, step.buffer, taken);
		error = transfer(step.fd, bounce, length, start, true);
	}
	return error != 0 ? error : (ssize_t)taken;
}

/* Write what is left through an aligned buffer. */
static int write_bounced(struct file_write *state)
{
	struct lm_file *file = state->file;
	const uint64_t alignment = file->offset_alignment > file->memory_alignment
					   ? file->offset_alignment
					   : file->memory_alignment;
	const size_t size = (size_t)(alignment > BOUNCE_SIZE ? alignment : BOUNCE_SIZE);
	unsigned char *bounce = aligned_alloc((size_t)alignment, size);
	enum progress progress;
	int error;

	if (bounce == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&file->bounce_lock);
	do
		progress = take_result(state, write_around(file, bounce, size, next_step(state)),
				       &error);
	while (progress == GO_ON);
	pthread_mutex_unlock(&file->bounce_lock);
	free(bounce);
	return error;
}

/* ---- writes -------------------------------------------------------------- */

/* Write what is left on this thread. */
static int write_blocking(struct file_write *state)
{
	enum progress progress;
	int error;

	do {
		const struct step step = next_step(state);
		ssize_t result;

		if (needs_bounce(state->file, step))
			return write_bounced(state);
		result = pwrite(step.fd, step.buffer, step.length, (off_t)step.offset);
		progress = take_result(state, result < 0 ? -errno : result, &error);
	} while (progress == GO_ON);
	return error;
}

/* Storage begins with what lies in the page cache before the flush has to wait for
 * all of it. What goes wrong there is told by the flush. */
static void begin_storing(struct lm_file *file, size_t length)
{
	if (atomic_fetch_add(&file->unstored, length) + length < UNSTORED_LIMIT)
		return;
	atomic_store(&file->unstored, 0);
	(void)sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Also after a failure: any part of it may be there. */
static void complete_write(struct file_write *state, int error)
{
	struct lm_file *file = state->file;

	if (file->has_extents)
		lm_block_map_mark(&file->blocks, state->write->offset, state->write->length);
	if (!is_direct(file) && state->written >= LONG_WRITE)
		begin_storing(file, state->written);
	lazymem_write_complete(state->write, error);
}

static void queue_step(struct file_write *state)
{
	const struct step step = next_step(state);

	if (needs_bounce(state->file, step)) {
		complete_write(state, write_bounced(state));
		return;
	}
	lm_queue_write(state->write->queue, &state->operation, step.fd, step.buffer, step.length,
		       step.offset);
}

static void step_completed(struct lm_operation *operation, int result, bool more)
{
	struct file_write *state = (struct file_write *)operation;
	int error;

	(void)more;
	if (result == -EAGAIN) /* the kernel has no way to finish it aside, or no memory to */
		complete_write(state, write_blocking(state));
	else if (take_result(state, result, &error) == OVER)
		complete_write(state, error);
	else
		queue_step(state);
}

void lm_file_write(void *object, struct lazymem_write *write)
{
	struct file_write *state = (struct file_write *)(void *)write->scratch.bytes;

	*state = (struct file_write){
		.operation = {.complete = step_completed}, .file = object, .write = write};
	if (write->queue == NULL || !is_direct(state->file))
		complete_write(state, write_blocking(state));
	else
		queue_step(state);
}

/* ---- flush and discard --------------------------------------------------- */

static int flush_blocking(const struct lm_file *file)
{
	while (fdatasync(file->fd) != 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void flush_completed(struct lm_operation *operation, int result, bool more)
{
	struct file_write *state = (struct file_write *)operation;

	(void)more;
	if (result == -EAGAIN || result == -EINTR)
		result = flush_blocking(state->file);
	lazymem_write_complete(state->write, result < 0 ? result : 0);
}

void lm_file_flush(void *object, struct lazymem_write *flush)
{
	struct file_write *state = (struct file_write *)(void *)flush->scratch.bytes;

	*state = (struct file_write){
		.operation = {.complete = flush_completed}, .file = object, .write = flush};
	if (flush->queue == NULL)
		lazymem_write_complete(flush, flush_blocking(state->file));
	else
		lm_queue_datasync(flush->queue, &state->operation, state->file->fd);
}

int lm_file_discard(void *object, uint64_t offset, uint64_t length)
{
	struct lm_file *file = object;
	int result;

	if (file->has_extents) /* first, see block_map.c */
		lm_block_map_clear(&file->blocks, offset, length);
	do
		result = fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   (off_t)(file->start + offset), (off_t)length);
	while (result != 0 && errno == EINTR);
	if (result == 0)
		return 0;
	result = errno == ENOSYS ? -EOPNOTSUPP : -errno;
	if (file->has_extents)
		lm_block_map_mark(&file->blocks, offset, length);
	return result;
}
