/* SPDX-License-Identifier: MIT
 *
 * Counters and the latency histogram, whose buckets handler.h defines: exact
 * below 8 ns, then eight to the octave, the last one open at the top.
 */
#include "uffd/statistics.h"

#include "core/checked.h"

static size_t bucket_of(uint64_t ns)
{
	unsigned shift;
	size_t bucket;

	if (ns < 8)
		return (size_t)ns;
	shift = 60u - (unsigned)__builtin_clzll(ns);
	bucket = (size_t)(shift + 1) * 8 + (size_t)((ns >> shift) - 8);
	return (size_t)lm_min(bucket, LAZYMEM_HISTOGRAM_BUCKETS - 1);
}

static uint64_t bucket_lower(size_t bucket)
{
	return bucket < 8 ? bucket : (uint64_t)(8 + bucket % 8) << (bucket / 8 - 1);
}

void lm_statistics_latency(struct lm_statistics *statistics, uint64_t ns)
{
	lm_sum(&statistics->latency[bucket_of(ns)], 1);
}

static uint64_t read_counter(const struct lm_statistics *statistics, enum lm_counter counter)
{
	return atomic_load_explicit(&statistics->counters[counter], memory_order_acquire);
}

void lm_statistics_read(const struct lm_statistics *statistics, struct lazymem_statistics *out)
{
	out->faults = read_counter(statistics, LM_FAULTS);
	out->copied = read_counter(statistics, LM_COPIED);
	out->zeroed = read_counter(statistics, LM_ZEROED);
	out->continued = read_counter(statistics, LM_CONTINUED);
	out->coalesced = read_counter(statistics, LM_COALESCED);
	out->already_present = read_counter(statistics, LM_ALREADY_PRESENT);
	out->failed = read_counter(statistics, LM_FAILED);
	out->pages_populated = read_counter(statistics, LM_PAGES_POPULATED);
	out->pages_prefetched = read_counter(statistics, LM_PAGES_PREFETCHED);
	out->pages_discarded = read_counter(statistics, LM_PAGES_DISCARDED);
	out->reads = read_counter(statistics, LM_READS);
	out->bytes_read = read_counter(statistics, LM_BYTES_READ);
	out->retries = read_counter(statistics, LM_RETRIES);
	out->blocks_collapsed = read_counter(statistics, LM_BLOCKS_COLLAPSED);
	out->syncs = read_counter(statistics, LM_SYNCS);
	out->failed_syncs = read_counter(statistics, LM_FAILED_SYNCS);
	out->bytes_written = read_counter(statistics, LM_BYTES_WRITTEN);
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++)
		out->latency[i] =
			atomic_load_explicit(&statistics->latency[i], memory_order_relaxed);
}

/* The nearest rank, from 1 to total: of that many faults it is the slowest. */
static uint64_t rank_of(double quantile, uint64_t total)
{
	double wanted = quantile * (double)total;
	uint64_t rank;

	if (!(wanted > 1))
		return 1;
	if (wanted >= (double)total)
		return total;
	rank = (uint64_t)wanted;
	return (double)rank < wanted ? rank + 1 : rank;
}

uint64_t lazymem_statistics_quantile(const struct lazymem_statistics *statistics, double quantile)
{
	uint64_t total = 0, seen = 0, rank;

	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++)
		total += statistics->latency[i];
	if (total == 0)
		return 0;
	rank = rank_of(quantile, total);
	for (size_t i = 0; i < LAZYMEM_HISTOGRAM_BUCKETS; i++) {
		seen += statistics->latency[i];
		if (seen >= rank)
			return bucket_lower(i + 1) - 1;
	}
	return 0; /* not reached: seen ends at total >= rank */
}
