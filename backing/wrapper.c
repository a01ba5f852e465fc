/* SPDX-License-Identifier: MIT
 *
 * wrapper.c - the common part of the objects that wrap another one.
 *
 * A read belongs to one object, so a wrapper forwards a child read of its own
 * for each outer one, and likewise for writes and flushes. Children are kept for the next read once they are over;
 * they are freed with the wrapper. That costs a lock and, at first, an
 * allocation for each read: wrappers are there for tests.
 *
 * A child goes back to the spare ones before its outer read completes, because
 * that completion may drop the last reference to the wrapper.
 */
#include "backing/wrapper.h"

#include "core/clock.h"
#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define KNOWN_OPERATIONS                                                                           \
	((unsigned)LAZYMEM_INJECT_READ | LAZYMEM_INJECT_WRITE | LAZYMEM_INJECT_FLUSH |             \
	 LAZYMEM_INJECT_DISCARD)

void *lm_wrapper_create(size_t size, struct lazymem_backing *inner,
			struct lazymem_inject_range range, int *ret_error)
{
	struct lm_wrapper *wrapper;

	if ((range.operations & ~KNOWN_OPERATIONS) != 0) {
		*ret_error = lm_error(-EINVAL, "unknown operation to hit in %#x", range.operations);
		return NULL;
	}
	if (inner == NULL) {
		*ret_error = lm_error(-EINVAL, "no backing object to wrap");
		return NULL;
	}
	wrapper = calloc(1, size);
	if (wrapper == NULL) {
		*ret_error = lm_error(-ENOMEM, "no memory to wrap %s", lazymem_backing_name(inner));
		return NULL;
	}
	wrapper->inner = lazymem_backing_ref(inner);
	wrapper->range = range;
	pthread_mutex_init(&wrapper->lock, NULL);
	return wrapper;
}

void lm_wrapper_destroy(struct lm_wrapper *wrapper)
{
	lazymem_backing_unref(wrapper->inner);
	while (wrapper->children != NULL) {
		struct lm_child *child = wrapper->children;

		wrapper->children = child->sibling;
		free(child);
	}
	pthread_mutex_destroy(&wrapper->lock);
	free(wrapper);
}

int lm_wrapper_publish(struct lm_wrapper *wrapper,
		       const struct lazymem_backing_operations *operations, const char *adjective,
		       struct lazymem_backing **ret_backing)
{
	struct lazymem_backing_operations own = *operations;
	char *name;
	int error;

	if (lazymem_backing_takes_parts(wrapper->inner))
		own.read_parts = own.read;
	if (!lazymem_backing_is_writable(wrapper->inner)) {
		own.write = NULL;
		own.flush = NULL;
		own.discard = NULL;
	}
	if (asprintf(&name, "%s (%s)", lazymem_backing_name(wrapper->inner), adjective) < 0)
		return lm_error(-ENOMEM, "no memory to wrap %s",
				lazymem_backing_name(wrapper->inner));
	error = lazymem_backing_create(&own, wrapper, lazymem_backing_length(wrapper->inner), name,
				       ret_backing);
	free(name);
	return error;
}

static bool overlaps(const struct lazymem_inject_range *range, uint64_t offset, uint64_t length)
{
	if (range->length == 0)
		return true;
	if (offset < range->start)
		return range->start - offset < length;
	return offset - range->start < range->length;
}

/* Reads, where nobody says. */
static bool hits(const struct lm_wrapper *wrapper, enum lazymem_inject_operation operation)
{
	const unsigned operations = wrapper->range.operations;

	return operations == 0 ? operation == LAZYMEM_INJECT_READ : (operations & operation) != 0;
}

bool lm_wrapper_hits_bytes(const struct lm_wrapper *wrapper,
			   enum lazymem_inject_operation operation, uint64_t offset,
			   uint64_t length)
{
	return hits(wrapper, operation) && overlaps(&wrapper->range, offset, length);
}

bool lm_wrapper_hits_flush(const struct lm_wrapper *wrapper)
{
	return hits(wrapper, LAZYMEM_INJECT_FLUSH);
}

bool lm_wrapper_hits(const struct lm_wrapper *wrapper, const struct lazymem_read *read)
{
	if (!hits(wrapper, LAZYMEM_INJECT_READ))
		return false;
	if (read->parts == NULL)
		return overlaps(&wrapper->range, read->offset, read->length);
	for (size_t i = 0; i < read->part_count; i++) {
		if (overlaps(&wrapper->range, read->parts[i].offset, read->parts[i].length))
			return true;
	}
	return false;
}

bool lm_wrapper_take(_Atomic uint64_t *count)
{
	uint64_t left = atomic_load(count);

	do {
		if (left == 0)
			return false;
		if (left == UINT64_MAX)
			return true;
	} while (!atomic_compare_exchange_weak(count, &left, left - 1));
	return true;
}

/* A child for this read, or NULL for a write. */
static struct lm_child *take_spare(struct lm_wrapper *wrapper, struct lazymem_read *outer)
{
	struct lm_child *child;

	pthread_mutex_lock(&wrapper->lock);
	child = wrapper->spare;
	if (child != NULL) {
		wrapper->spare = child->next;
	} else {
		child = malloc(sizeof(*child));
		if (child != NULL) {
			child->sibling = wrapper->children;
			wrapper->children = child;
		}
	}
	if (child != NULL)
		child->outer = outer;
	pthread_mutex_unlock(&wrapper->lock);
	return child;
}

static void give_back(struct lm_child *child)
{
	struct lm_wrapper *wrapper = child->wrapper;

	pthread_mutex_lock(&wrapper->lock);
	child->outer = NULL;
	child->next = wrapper->spare;
	wrapper->spare = child;
	pthread_mutex_unlock(&wrapper->lock);
}

/* How many parts make up the first `length` bytes. */
static size_t parts_in(const struct lazymem_read *read, size_t length)
{
	size_t count = 0;

	while (length != 0)
		length -= read->parts[count++].length;
	return count;
}

struct lm_child *lm_wrapper_child(struct lm_wrapper *wrapper, struct lazymem_read *outer,
				  size_t length, lazymem_read_completion complete)
{
	struct lm_child *child = take_spare(wrapper, outer);

	if (child == NULL) {
		lazymem_read_complete(outer, -ENOMEM);
		return NULL;
	}
	child->operation = LAZYMEM_INJECT_READ;
	child->read = (struct lazymem_read){.offset = outer->offset,
					    .length = length,
					    .buffer = outer->buffer,
					    .complete = complete,
					    .context = child,
					    .flags = outer->flags,
					    .queue = outer->queue};
	if (outer->parts != NULL) {
		child->read.parts = outer->parts;
		child->read.part_count = parts_in(outer, length);
	}
	child->wrapper = wrapper;
	child->submitted_ns = lm_clock_ns();
	return child;
}

struct lm_child *lm_wrapper_write_child(struct lm_wrapper *wrapper,
					enum lazymem_inject_operation operation,
					struct lazymem_write *outer, size_t length,
					lazymem_write_completion complete)
{
	struct lm_child *child = take_spare(wrapper, NULL);

	if (child == NULL) {
		lazymem_write_complete(outer, -ENOMEM);
		return NULL;
	}
	child->operation = operation;
	child->write = (struct lazymem_write){.offset = outer->offset,
					      .length = length,
					      .buffer = outer->buffer,
					      .complete = complete,
					      .context = child,
					      .queue = outer->queue};
	child->outer_write = outer;
	child->wrapper = wrapper;
	child->submitted_ns = lm_clock_ns();
	return child;
}

void lm_wrapper_forward(struct lm_child *child)
{
	struct lazymem_backing *inner = child->wrapper->inner;

	if (child->operation == LAZYMEM_INJECT_READ)
		lazymem_backing_submit(inner, &child->read);
	else if (child->operation == LAZYMEM_INJECT_WRITE)
		lazymem_backing_submit_write(inner, &child->write);
	else
		lazymem_backing_submit_flush(inner, &child->write);
}

void lm_wrapper_complete(struct lm_child *child, int error)
{
	struct lazymem_read *outer = child->outer;
	struct lazymem_write *outer_write = child->outer_write;
	const bool is_read = child->operation == LAZYMEM_INJECT_READ;

	give_back(child);
	if (is_read)
		lazymem_read_complete(outer, error);
	else
		lazymem_write_complete(outer_write, error);
}

static void pass_on(struct lazymem_read *read, int error)
{
	lm_wrapper_complete(read->context, error);
}

void lm_wrapper_pass(struct lm_wrapper *wrapper, struct lazymem_read *outer)
{
	struct lm_child *child = lm_wrapper_child(wrapper, outer, outer->length, pass_on);

	if (child != NULL)
		lm_wrapper_forward(child);
}

static void pass_on_write(struct lazymem_write *write, int error)
{
	lm_wrapper_complete(write->context, error);
}

void lm_wrapper_pass_write(struct lm_wrapper *wrapper, struct lazymem_write *outer)
{
	struct lm_child *child = lm_wrapper_write_child(wrapper, LAZYMEM_INJECT_WRITE, outer,
							outer->length, pass_on_write);

	if (child != NULL)
		lm_wrapper_forward(child);
}

void lm_wrapper_pass_flush(struct lm_wrapper *wrapper, struct lazymem_write *outer)
{
	struct lm_child *child =
		lm_wrapper_write_child(wrapper, LAZYMEM_INJECT_FLUSH, outer, 0, pass_on_write);

	if (child != NULL)
		lm_wrapper_forward(child);
}

int lm_wrapper_extent(void *object, uint64_t offset, uint64_t length,
		      struct lazymem_extent *ret_extent)
{
	const struct lm_wrapper *wrapper = object;

	return lazymem_backing_extent(wrapper->inner, offset, length, ret_extent);
}

int lm_wrapper_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct lm_wrapper *wrapper = object;

	return lazymem_backing_identity(wrapper->inner, ret_identity);
}

/* A child whose outer read completes meanwhile waits for the lock to become a
 * spare one; so the read that is hurried is still its own. */
void lm_wrapper_hurry(void *object, struct lazymem_read *read)
{
	struct lm_wrapper *wrapper = object;

	pthread_mutex_lock(&wrapper->lock);
	for (struct lm_child *child = wrapper->children; child != NULL; child = child->sibling)
		if (child->outer == read)
			lazymem_backing_hurry(wrapper->inner, &child->read);
	pthread_mutex_unlock(&wrapper->lock);
}

void lm_wrapper_readahead(void *object, uint64_t offset, uint64_t length)
{
	const struct lm_wrapper *wrapper = object;

	lazymem_backing_readahead(wrapper->inner, offset, length);
}

void lm_wrapper_flush(void *object, struct lazymem_write *flush)
{
	lm_wrapper_pass_flush(object, flush);
}

int lm_wrapper_discard(void *object, uint64_t offset, uint64_t length)
{
	const struct lm_wrapper *wrapper = object;

	return lazymem_backing_discard(wrapper->inner, offset, length);
}

void lm_wrapper_close(void *object)
{
	lm_wrapper_destroy(object);
}
