/* SPDX-License-Identifier: MIT
 *
 * inject_shorten.c - a backing object whose reads and writes end half way.
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"

#include <errno.h>

struct shorten {
	struct lm_wrapper wrapper;
	_Atomic uint64_t count; /* still to shorten */
};

static void half_read(struct lazymem_read *read, int error)
{
	lm_wrapper_complete(read->context, error != 0 ? error : -ENODATA);
}

/* The bytes to deliver: half of them, or the parts that lie wholly in that half. */
static size_t first_half(const struct lazymem_read *read)
{
	const size_t half = read->length / 2;
	size_t whole = 0;

	if (read->parts == NULL)
		return half;
	for (size_t i = 0; read->parts[i].length <= half - whole; i++)
		whole += read->parts[i].length;
	return whole;
}

static void shorten_read(void *object, struct lazymem_read *read)
{
	struct shorten *shorten = object;
	const size_t half = first_half(read);
	struct lm_child *child;

	if (!lm_wrapper_hits(&shorten->wrapper, read) || !lm_wrapper_take(&shorten->count)) {
		lm_wrapper_pass(&shorten->wrapper, read);
		return;
	}
	if (half == 0) {
		lazymem_read_complete(read, -ENODATA);
		return;
	}
	child = lm_wrapper_child(&shorten->wrapper, read, half, half_read);
	if (child != NULL)
		lm_wrapper_forward(child);
}

static void half_written(struct lazymem_write *write, int error)
{
	lm_wrapper_complete(write->context, error != 0 ? error : -ENOSPC);
}

static void shorten_write(void *object, struct lazymem_write *write)
{
	struct shorten *shorten = object;
	const size_t half = write->length / 2;
	struct lm_child *child;

	if (!lm_wrapper_hits_bytes(&shorten->wrapper, LAZYMEM_INJECT_WRITE, write->offset,
				   write->length) ||
	    !lm_wrapper_take(&shorten->count)) {
		lm_wrapper_pass_write(&shorten->wrapper, write);
		return;
	}
	if (half == 0) {
		lazymem_write_complete(write, -ENOSPC);
		return;
	}
	child = lm_wrapper_write_child(&shorten->wrapper, LAZYMEM_INJECT_WRITE, write, half,
				       half_written);
	if (child != NULL)
		lm_wrapper_forward(child);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = shorten_read,
	.extent = lm_wrapper_extent,
	.hurry = lm_wrapper_hurry,
	.identity = lm_wrapper_identity,
	.readahead = lm_wrapper_readahead,
	.write = shorten_write,
	.flush = lm_wrapper_flush,
	.discard = lm_wrapper_discard,
	.close = lm_wrapper_close,
};

int lazymem_inject_shorten(struct lazymem_backing *inner, struct lazymem_inject_range range,
			   uint64_t count, struct lazymem_backing **ret_backing)
{
	struct shorten *shorten;
	int error;

	shorten = lm_wrapper_create(sizeof(*shorten), inner, range, &error);
	if (shorten == NULL)
		return error;
	atomic_init(&shorten->count, count);
	error = lm_wrapper_publish(&shorten->wrapper, &operations, "shortened", ret_backing);
	if (error != 0)
		lm_wrapper_destroy(&shorten->wrapper);
	return error;
}
