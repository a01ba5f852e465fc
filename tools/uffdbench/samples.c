/* SPDX-License-Identifier: MIT */
#include "samples.h"
#include "complain.h"

#include <stdlib.h>
#include <sys/mman.h>

#define BUCKETS_PER_OCTAVE 32u

uint64_t *samples_create(size_t count)
{
	void *memory = mmap(NULL, count * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (memory == MAP_FAILED) {
		complain("no memory for %zu samples", count);
		return NULL;
	}
	return memory;
}

void samples_destroy(uint64_t *samples, size_t count)
{
	if (samples != NULL)
		munmap(samples, count * sizeof(uint64_t));
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left;
	uint64_t b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* Nearest rank, `per_mille` from 1 to 1000. */
static uint64_t percentile(const uint64_t *sorted, size_t count, size_t per_mille)
{
	size_t rank = (count * per_mille + 999) / 1000;

	return sorted[rank - 1];
}

struct latency_summary samples_summarize(uint64_t *samples, size_t count)
{
	struct latency_summary summary = {0};
	uint64_t sum = 0;

	if (count == 0)
		return summary;
	qsort(samples, count, sizeof(*samples), compare);
	for (size_t i = 0; i < count; i++)
		sum += samples[i];
	summary.p50_ns = percentile(samples, count, 500);
	summary.p90_ns = percentile(samples, count, 900);
	summary.p99_ns = percentile(samples, count, 990);
	summary.p999_ns = percentile(samples, count, 999);
	summary.max_ns = samples[count - 1];
	summary.mean_ns = sum / count;
	return summary;
}

static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < BUCKETS_PER_OCTAVE)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - 5u;
	return shift * BUCKETS_PER_OCTAVE + (unsigned)(value >> shift);
}

uint64_t histogram_lower(unsigned bucket)
{
	unsigned octave = bucket / BUCKETS_PER_OCTAVE;
	uint64_t place = bucket % BUCKETS_PER_OCTAVE;

	return octave == 0 ? place : (BUCKETS_PER_OCTAVE + place) << (octave - 1);
}

void histogram_add(struct histogram *histogram, const uint64_t *samples, size_t count)
{
	for (size_t i = 0; i < count; i++)
		histogram->counts[bucket_of(samples[i])]++;
	histogram->total += count;
}
