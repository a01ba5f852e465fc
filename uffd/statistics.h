/* SPDX-License-Identifier: MIT
 *
 * statistics.h - the counters of an attachment, read by any thread. There is
 * one writer at a time: the worker; LM_PAGES_DISCARDED under the attachment's
 * exclusive lock; what counts syncs, whoever syncs; the owner, once the worker has
 * let go.
 */
#ifndef LM_STATISTICS_H
#define LM_STATISTICS_H

#include <lazymem/handler.h>
#include <stdatomic.h>

enum lm_counter {
	LM_COPIED,
	LM_ZEROED,
	LM_CONTINUED,
	LM_COALESCED,
	LM_ALREADY_PRESENT,
	LM_FAILED,
	LM_FAULTS,
	LM_PAGES_POPULATED,
	LM_PAGES_PREFETCHED,
	LM_PAGES_DISCARDED,
	LM_READS,
	LM_BYTES_READ,
	LM_RETRIES,
	LM_BLOCKS_COLLAPSED,
	LM_SYNCS,
	LM_FAILED_SYNCS,
	LM_BYTES_WRITTEN,
	LM_COUNTERS,
	LM_OUTCOMES = LM_FAILED + 1, /* how a fault can end: the counters before this */
};

struct lm_statistics {
	_Atomic uint64_t counters[LM_COUNTERS];
	_Atomic uint64_t latency[LAZYMEM_HISTOGRAM_BUCKETS];
};

/* One writer, so the sum needs no locked instruction: a dozen of them would be
 * felt in every fault. */
static inline void lm_sum(_Atomic uint64_t *sum, uint64_t amount)
{
	uint64_t old = atomic_load_explicit(sum, memory_order_relaxed);

	atomic_store_explicit(sum, old + amount, memory_order_release);
}

static inline void lm_count(struct lm_statistics *statistics, enum lm_counter counter,
			    uint64_t amount)
{
	lm_sum(&statistics->counters[counter], amount);
}

/* One fault that took `ns`. */
void lm_statistics_latency(struct lm_statistics *statistics, uint64_t ns);

/* Copy what is counted here into *out, all but size, moved, pages_total and pages_poisoned. */
void lm_statistics_read(const struct lm_statistics *statistics, struct lazymem_statistics *out);

#endif
