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
	uint8_t *seen;     /* a bit for each page that is in the trace */
	_Atomic size_t count;
};

/* The room for every page is reserved as addresses only; memory is taken as
 * the trace grows. */
int lm_recorder_create(struct lm_recorder *recorder, size_t capacity);
void lm_recorder_destroy(struct lm_recorder *recorder);

/* The worker only. `index` numbers the pages of all regions: a page that is in
 * the trace already (its read failed, and it faulted again) is not added
 * again. Nothing happens without a recorder (capacity 0). */
void lm_recorder_append(struct lm_recorder *recorder, size_t index, uint64_t guest,
			unsigned page_shift);

/* What was recorded up to now as a trace, in pages of `page_size` bytes,
 * of which every region's page size is a multiple. Any thread. */
int lm_recorder_trace(const struct lm_recorder *recorder, size_t page_size,
		      struct lazymem_trace **ret_trace);

#endif
