/* SPDX-License-Identifier: MIT
 *
 * recorder.h - the first-touch order of an attachment: one guest address for
 * each page, appended by the worker, read by any thread.
 */
#ifndef LM_RECORDER_H
#define LM_RECORDER_H

#include <lazymem/trace.h>
#include <stdatomic.h>

struct lm_recorder {
	uint64_t *touches; /* guest address | page shift; those below count are final */
	size_t capacity;   /* pages of all lazily filled regions: each is first touched once */
	_Atomic size_t count;
};

/* The room for every page is reserved as addresses only; memory is taken as
 * the trace grows. */
int lm_recorder_create(struct lm_recorder *recorder, size_t capacity);
void lm_recorder_destroy(struct lm_recorder *recorder);

/* The worker only. Nothing happens without a recorder (capacity 0). */
void lm_recorder_append(struct lm_recorder *recorder, uint64_t guest, unsigned page_shift);

/* What was recorded up to now as a trace, in pages of `page_size` bytes,
 * of which every region's page size is a multiple. Any thread. */
int lm_recorder_trace(const struct lm_recorder *recorder, size_t page_size,
		      struct lazymem_trace **ret_trace);

#endif
