/* SPDX-License-Identifier: MIT
 *
 * backing_write.c - the half of the dispatch that writes.
 *
 * As for reads, what every implementation would have to check is checked here:
 * that the object is writable, and that a write or a discard lies wholly inside.
 * Nothing is cut off at the end: bytes that an object has no room for would be
 * lost without a word.
 *
 * A write is in flight or over, a flush likewise, and a second completion aborts
 * the process as that of a read does: the buffer of a write may have been used
 * anew, and what was thought durable may not be.
 */
#include "core/backing_dispatch.h"
#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum write_state {
	WRITE_IN_FLIGHT = 0x3c, /* unlikely in a struct that was never submitted */
	FLUSH_IN_FLIGHT = 0x69,
	WRITE_OVER = 0xc3,
};

bool lazymem_backing_is_writable(const struct lazymem_backing *backing)
{
	return backing->operations.write != NULL;
}

uint64_t lazymem_backing_failed_flushes(const struct lazymem_backing *backing)
{
	return atomic_load(&backing->flushes.failures);
}

/* ---- checks -------------------------------------------------------------- */

static int check_writable(const struct lazymem_backing *backing, const char *what)
{
	if (lazymem_backing_is_writable(backing))
		return 0;
	return lm_error(-EROFS, "%s: %s of an object that is read-only", backing->name, what);
}

/* 0, or why these bytes cannot be changed. */
static int check_range(const struct lazymem_backing *backing, const char *what, uint64_t offset,
		       uint64_t length)
{
	uint64_t end;
	int error = check_writable(backing, what);

	if (error != 0)
		return error;
	if (length == 0)
		return lm_error(-EINVAL, "%s: %s of no bytes at offset %" PRIu64, backing->name,
				what, offset);
	if (!lm_add(offset, length, &end))
		return lm_error(-EINVAL, "%s: %s of %" PRIu64 " bytes at offset %" PRIu64 " wraps",
				backing->name, what, length, offset);
	if (end > backing->length)
		return lm_error(-ERANGE,
				"%s: %s of %" PRIu64 " bytes at offset %" PRIu64
				" does not lie inside its %" PRIu64 " bytes",
				backing->name, what, length, offset, backing->length);
	return 0;
}

/* ---- writes and flushes -------------------------------------------------- */

void lazymem_backing_submit_write(struct lazymem_backing *backing, struct lazymem_write *write)
{
	int error;

	write->backing = backing;
	__atomic_store_n(&write->state, WRITE_IN_FLIGHT, __ATOMIC_RELEASE);
	error = check_range(backing, "write", write->offset, write->length);
	if (error != 0)
		lazymem_write_complete(write, error);
	else
		backing->operations.write(backing->object, write);
}

void lazymem_backing_submit_flush(struct lazymem_backing *backing, struct lazymem_write *flush)
{
	const int error = check_writable(backing, "flush");

	flush->backing = backing;
	if (error != 0) { /* not one of those that fail with others */
		__atomic_store_n(&flush->state, WRITE_IN_FLIGHT, __ATOMIC_RELEASE);
		lazymem_write_complete(flush, error);
		return;
	}
	__atomic_store_n(&flush->state, FLUSH_IN_FLIGHT, __ATOMIC_RELEASE);
	lm_flushes_enter(&backing->flushes, flush);
	if (backing->operations.flush != NULL)
		backing->operations.flush(backing->object, flush);
	else
		lazymem_write_complete(flush, 0);
}

void lazymem_write_complete(struct lazymem_write *write, int error)
{
	enum write_state state;

	if (error > 0)
		abort();
	state = __atomic_exchange_n(&write->state, WRITE_OVER, __ATOMIC_ACQ_REL);
	if (state == FLUSH_IN_FLIGHT)
		lm_flushes_leave(&write->backing->flushes, write, error);
	else if (state == WRITE_IN_FLIGHT)
		write->complete(write, error);
	else
		abort();
}

/* ---- for a thread that waits --------------------------------------------- */

static void wake_waiter(struct lazymem_write *write, int error)
{
	lm_waiter_wake(write->context, error);
}

int lazymem_backing_write(struct lazymem_backing *backing, uint64_t offset, const void *buffer,
			  size_t length)
{
	struct lm_waiter waiter = LM_WAITER;
	struct lazymem_write write = {.offset = offset,
				      .length = length,
				      .buffer = buffer,
				      .complete = wake_waiter,
				      .context = &waiter};
	int error = check_range(backing, "write", offset, length);

	if (error != 0)
		return error;
	lazymem_backing_submit_write(backing, &write);
	error = lm_waiter_wait(&waiter);
	if (error == 0)
		return 0;
	return lm_error_errno(error, "%s: cannot write %zu bytes at offset %" PRIu64, backing->name,
			      length, offset);
}

int lazymem_backing_flush(struct lazymem_backing *backing)
{
	struct lm_waiter waiter = LM_WAITER;
	struct lazymem_write flush = {.complete = wake_waiter, .context = &waiter};
	int error = check_writable(backing, "flush");

	if (error != 0)
		return error;
	lazymem_backing_submit_flush(backing, &flush);
	error = lm_waiter_wait(&waiter);
	if (error == 0)
		return 0;
	return lm_error_errno(error, "%s: cannot make durable what was written", backing->name);
}

int lazymem_backing_discard(struct lazymem_backing *backing, uint64_t offset, uint64_t length)
{
	int error = check_range(backing, "discard", offset, length);

	if (error != 0)
		return error;
	if (backing->operations.discard == NULL)
		return lm_error(-EOPNOTSUPP, "%s: it cannot discard", backing->name);
	error = backing->operations.discard(backing->object, offset, length);
	if (error == 0)
		return 0;
	return lm_error_errno(error, "%s: cannot discard %" PRIu64 " bytes at offset %" PRIu64,
			      backing->name, length, offset);
}
