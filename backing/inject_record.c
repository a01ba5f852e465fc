/* SPDX-License-Identifier: MIT
 *
 * inject_record.c - a backing object that tells of every read, write, flush and
 * discard.
 */
#include <lazymem/inject.h>

#include "backing/wrapper.h"
#include "core/clock.h"
#include "core/error.h"

#include <errno.h>

struct record {
	struct lm_wrapper wrapper;
	void (*observe)(void *context, const struct lazymem_inject_read *read);
	void *context;
};

static void tell(struct lazymem_read *read, int error)
{
	struct lm_child *child = read->context;
	const struct record *record = (const struct record *)child->wrapper;
	const struct lazymem_read_part whole = {read->offset, read->length};
	const struct lazymem_read_part *parts = read->parts != NULL ? read->parts : &whole;
	const size_t count = read->parts != NULL ? read->part_count : 1;
	struct lazymem_inject_read told = {.submitted_ns = child->submitted_ns,
					   .completed_ns = lm_clock_ns(),
					   .error = error,
					   .operation = LAZYMEM_INJECT_READ,
					   .flags = read->flags};

	for (size_t i = 0; i < count; i++) {
		told.offset = parts[i].offset;
		told.length = parts[i].length;
		record->observe(record->context, &told);
	}
	lm_wrapper_complete(child, error);
}

static void record_read(void *object, struct lazymem_read *read)
{
	struct record *record = object;
	struct lm_child *child = lm_wrapper_child(&record->wrapper, read, read->length, tell);

	if (child != NULL)
		lm_wrapper_forward(child);
}

/* Of a write, or of a flush, which has no bytes. */
static void tell_write(struct lazymem_write *write, int error)
{
	struct lm_child *child = write->context;
	const struct record *record = (const struct record *)child->wrapper;
	const bool is_write = child->operation == LAZYMEM_INJECT_WRITE;
	const struct lazymem_inject_read told = {.offset = is_write ? write->offset : 0,
						 .length = is_write ? write->length : 0,
						 .submitted_ns = child->submitted_ns,
						 .completed_ns = lm_clock_ns(),
						 .error = error,
						 .operation = child->operation};

	record->observe(record->context, &told);
	lm_wrapper_complete(child, error);
}

static void record_write(void *object, struct lazymem_write *write)
{
	struct lm_child *child = lm_wrapper_write_child(object, LAZYMEM_INJECT_WRITE, write,
							write->length, tell_write);

	if (child != NULL)
		lm_wrapper_forward(child);
}

static void record_flush(void *object, struct lazymem_write *flush)
{
	struct lm_child *child =
		lm_wrapper_write_child(object, LAZYMEM_INJECT_FLUSH, flush, 0, tell_write);

	if (child != NULL)
		lm_wrapper_forward(child);
}

static int record_discard(void *object, uint64_t offset, uint64_t length)
{
	const struct record *record = object;
	struct lazymem_inject_read told = {.offset = offset,
					   .length = length,
					   .submitted_ns = lm_clock_ns(),
					   .operation = LAZYMEM_INJECT_DISCARD};

	told.error = lm_wrapper_discard(object, offset, length);
	told.completed_ns = lm_clock_ns();
	record->observe(record->context, &told);
	return told.error;
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = record_read,
	.extent = lm_wrapper_extent,
	.hurry = lm_wrapper_hurry,
	.identity = lm_wrapper_identity,
	.readahead = lm_wrapper_readahead,
	.write = record_write,
	.flush = record_flush,
	.discard = record_discard,
	.close = lm_wrapper_close,
};

int lazymem_inject_record(struct lazymem_backing *inner,
			  void (*observe)(void *context, const struct lazymem_inject_read *read),
			  void *context, struct lazymem_backing **ret_backing)
{
	const struct lazymem_inject_range all = {0};
	struct record *record;
	int error;

	if (observe == NULL)
		return lm_error(-EINVAL, "no function to tell of reads");
	record = lm_wrapper_create(sizeof(*record), inner, all, &error);
	if (record == NULL)
		return error;
	record->observe = observe;
	record->context = context;
	error = lm_wrapper_publish(&record->wrapper, &operations, "recorded", ret_backing);
	if (error != 0)
		lm_wrapper_destroy(&record->wrapper);
	return error;
}
