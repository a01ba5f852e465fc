/* SPDX-License-Identifier: MIT
 *
 * statistics.h - the counters of an attachment: written by its worker (those
 * marked so, by any thread), read by any thread.
 */
#ifndef LM_STATISTICS_H
#define LM_STATISTICS_H

#include <lazymem/handler.h>
#include <stdatomic.h>

enum lm_counter {
	LM_FAULTS,
	LM_COPIED,
	LM_ZEROED,
	LM_CONTINUED,
	LM_COALESCED,
	LM_ALREADY_PRESENT,
	LM_FAILED,
	LM_PAGES_POPULATED,
	LM_PAGES_PREFETCHED,
	LM_PAGES_DISCARDED, /* any thread */
	LM_READS,
	LM_BYTES_READ,
	LM_RETRIES,
	LM_BLOCKS_COLLAPSED,
	LM_COUNTERS,
};

struct lm_statistics {
	_Atomic uint64_t counters[LM_COUNTERS];
	_Atomic uint64_t latency[LAZYMEM_HISTOGRAM_BUCKETS];
};

static inline void lm_count(struct lm_statistics *statistics, enum lm_counter counter,
			    uint64_t amount)
{
	atomic_fetch_add_explicit(&statistics->counters[counter], amount, memory_order_relaxed);
}

/* One fault that took `ns`. */
void lm_statistics_latency(struct lm_statistics *statistics, uint64_t ns);

/* Copy what is counted here into *out, all but size, moved, pages_total and pages_poisoned. */
void lm_statistics_read(const struct lm_statistics *statistics, struct lazymem_statistics *out);

#endif
