/* SPDX-License-Identifier: MIT
 *
 * Recording a trace. The worker is the only writer; it publishes an entry by
 * raising count with release order, so that a reader that acquires count sees
 * every entry below it.
 */
#include "uffd/recorder.h"

#include "core/error.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* A page is at least 4096 bytes, so the low bits of its address hold its shift. */
#define SHIFT_MASK UINT64_C(63)

int lm_recorder_create(struct lm_recorder *recorder, size_t capacity)
{
	size_t bytes;
	void *room;

	if (__builtin_mul_overflow(capacity, sizeof(uint64_t), &bytes))
		return lm_error(-ENOMEM, "no room to record a trace of %zu pages", capacity);
	room = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return lm_error_errno(-errno, "no room to record a trace of %zu pages", capacity);
	recorder->seen = calloc(1, capacity / 8 + 1);
	if (recorder->seen == NULL) {
		munmap(room, bytes);
		return lm_error(-ENOMEM, "no room to record a trace of %zu pages", capacity);
	}
	recorder->touches = room;
	recorder->capacity = capacity;
	atomic_init(&recorder->count, 0);
	return 0;
}

void lm_recorder_destroy(struct lm_recorder *recorder)
{
	if (recorder->touches != NULL)
		munmap(recorder->touches, recorder->capacity * sizeof(uint64_t));
	free(recorder->seen);
	recorder->touches = NULL;
	recorder->seen = NULL;
	recorder->capacity = 0;
}

void lm_recorder_append(struct lm_recorder *recorder, size_t index, uint64_t guest,
			unsigned page_shift)
{
	size_t count = atomic_load_explicit(&recorder->count, memory_order_relaxed);
	uint8_t bit = (uint8_t)(1u << (index % 8));

	if (index >= recorder->capacity || (recorder->seen[index / 8] & bit) != 0)
		return;
	recorder->seen[index / 8] |= bit;
	recorder->touches[count] = guest | page_shift;
	atomic_store_explicit(&recorder->count, count + 1, memory_order_release);
}

int lm_recorder_trace(const struct lm_recorder *recorder, size_t page_size,
		      struct lazymem_trace **ret_trace)
{
	size_t count = atomic_load_explicit(&recorder->count, memory_order_acquire);
	struct lazymem_trace *trace;
	int error;

	error = lazymem_trace_create(page_size, &trace);
	if (error != 0)
		return error;
	for (size_t i = 0; i < count; i++) {
		uint64_t touch = recorder->touches[i];
		struct lazymem_guest_range range = {
			.start = {touch & ~SHIFT_MASK},
			.length = UINT64_C(1) << (touch & SHIFT_MASK),
		};

		error = lazymem_trace_append(trace, range);
		if (error != 0) {
			lazymem_trace_destroy(trace);
			return error;
		}
	}
	*ret_trace = trace;
	return 0;
}
