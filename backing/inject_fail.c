/* SPDX-License-Identifier: MIT
 *
 * inject_fail.c - a backing object whose reads fail without being read.
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"
#include "core/error.h"

#include <errno.h>

struct fail {
	struct lm_wrapper wrapper;
	int error;
	_Atomic uint64_t count; /* reads still to fail */
};

static void fail_read(void *object, struct lazymem_read *read)
{
	struct fail *fail = object;

	if (lm_wrapper_hits(&fail->wrapper, read) && lm_wrapper_take(&fail->count))
		lazymem_read_complete(read, fail->error);
	else
		lm_wrapper_pass(&fail->wrapper, read);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = fail_read,
	.extent = lm_wrapper_extent,
	.identity = lm_wrapper_identity,
	.readahead = lm_wrapper_readahead,
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
