/* SPDX-License-Identifier: MIT
 *
 * inject_fail.c - a backing object whose reads fail without being read, and whose
 * writes, flushes and discards without being done.
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"
#include "core/error.h"

#include <errno.h>

struct fail {
	struct lm_wrapper wrapper;
	int error;
	_Atomic uint64_t count; /* still to fail */
};

static void fail_read(void *object, struct lazymem_read *read)
{
	struct fail *fail = object;

	if (lm_wrapper_hits(&fail->wrapper, read) && lm_wrapper_take(&fail->count))
		lazymem_read_complete(read, fail->error);
	else
		lm_wrapper_pass(&fail->wrapper, read);
}

static void fail_write(void *object, struct lazymem_write *write)
{
	struct fail *fail = object;

	if (lm_wrapper_hits_bytes(&fail->wrapper, LAZYMEM_INJECT_WRITE, write->offset,
				  write->length) &&
	    lm_wrapper_take(&fail->count))
		lazymem_write_complete(write, fail->error);
	else
		lm_wrapper_pass_write(&fail->wrapper, write);
}

static void fail_flush(void *object, struct lazymem_write *flush)
{
	struct fail *fail = object;

	if (lm_wrapper_hits_flush(&fail->wrapper) && lm_wrapper_take(&fail->count))
		lazymem_write_complete(flush, fail->error);
	else
		lm_wrapper_pass_flush(&fail->wrapper, flush);
}

static int fail_discard(void *object, uint64_t offset, uint64_t length)
{
	struct fail *fail = object;

	if (lm_wrapper_hits_bytes(&fail->wrapper, LAZYMEM_INJECT_DISCARD, offset, length) &&
	    lm_wrapper_take(&fail->count))
		return fail->error;
	return lm_wrapper_discard(object, offset, length);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = fail_read,
	.extent = lm_wrapper_extent,
	.hurry = lm_wrapper_hurry,
	.identity = lm_wrapper_identity,
	.readahead = lm_wrapper_readahead,
	.write = fail_write,
	.flush = fail_flush,
	.discard = fail_discard,
	.close = lm_wrapper_close,
};

int lazymem_inject_fail(struct lazymem_backing *inner, struct lazymem_inject_range range, int error,
			uint64_t count, struct lazymem_backing **ret_backing)
{
	struct fail *fail;
	int result;

	if (error >= 0)
		return lm_error(-EINVAL, "%d is no negative errno value to fail with", error);
	fail = lm_wrapper_create(sizeof(*fail), inner, range, &result);
	if (fail == NULL)
		return result;
	fail->error = error;
	atomic_init(&fail->count, count);
	result = lm_wrapper_publish(&fail->wrapper, &operations, "failing", ret_backing);
	if (result != 0)
		lm_wrapper_destroy(&fail->wrapper);
	return result;
}
