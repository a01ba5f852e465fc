/* SPDX-License-Identifier: MIT
 *
 * memory.c - an immutable, sorted set of regions.
 *
 * The caller's regions are copied together with their places in his array,
 * because messages name them by these; sorted by guest base; compared with
 * their neighbours; then sorted by host address and compared again, since two
 * regions over the same host memory would be the same pages of the guest twice
 * (one mapping in two regions, or adopted mappings that overlap). Only then
 * references are taken, so a refusal has nothing to undo.
 *
 * Of regions that are sorted by their beginnings two overlap if and only if
 * two neighbours do, and comparing (start of one - start of the other) with a
 * length cannot wrap, so a region may end at 2^64.
 */
#include "core/memory.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

struct candidate {
	struct lazymem_region *region;
	size_t place; /* in the caller's array */
};

static int by_place(const struct candidate *a, const struct candidate *b)
{
	return (a->place > b->place) - (a->place < b->place);
}

static int by_base(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	const int order = lazymem_guest_address_compare(a->region->base, b->region->base);

	return order != 0 ? order : by_place(a, b);
}

static int by_host(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	const uintptr_t a_host = (uintptr_t)a->region->mapping->host;
	const uintptr_t b_host = (uintptr_t)b->region->mapping->host;

	return a_host != b_host ? (a_host > b_host) - (a_host < b_host) : by_place(a, b);
}

/* The later one of the caller's array first. */
static int conflict(const struct candidate *a, const struct candidate *b, const char *verb)
{
	const struct candidate *later = a->place > b->place ? a : b;
	const struct candidate *earlier = a->place > b->place ? b : a;

	return lm_error(-EEXIST, LM_REGION " %s " LM_REGION,
			LM_REGION_IS(later->place, later->region), verb,
			LM_REGION_IS(earlier->place, earlier->region));
}

/* candidates are sorted by base. */
static int check_guest_ranges(const struct candidate *candidates, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const struct lazymem_region *below = candidates[i - 1].region;
		const struct lazymem_region *above = candidates[i].region;

		if (above->base.value - below->base.value < below->length)
			return conflict(&candidates[i - 1], &candidates[i], "overlaps");
	}
	return 0;
}

/* candidates are sorted by host address. */
static int check_host_ranges(const struct candidate *candidates, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const struct lazymem_mapping *below = candidates[i - 1].region->mapping;
		const struct lazymem_mapping *above = candidates[i].region->mapping;

		if ((size_t)(above->host - below->host) < below->length)
			return conflict(&candidates[i - 1], &candidates[i],
					"shares host memory with");
	}
	return 0;
}

/* On success the candidates are sorted by base. */
static int check_candidates(struct candidate *candidates, size_t count)
{
	int error;

	qsort(candidates, count, sizeof(*candidates), by_host);
	error = check_host_ranges(candidates, count);
	if (error != 0)
		return error;
	qsort(candidates, count, sizeof(*candidates), by_base);
	return check_guest_ranges(candidates, count);
}

bool lm_memory_is_valid(const struct lazymem_memory *memory)
{
	uint64_t length = 0;

	for (size_t i = 0; i < memory->count; i++) {
		const struct lazymem_region *region = memory->regions[i];

		length += region->length;
		if (i > 0 && region->base.value - memory->regions[i - 1]->base.value <
				     memory->regions[i - 1]->length)
			return false;
		if (i > 0 && region->base.value < memory->regions[i - 1]->base.value)
			return false;
	}
	return memory->count > 0 && length == memory->length;
}

static int assemble(const struct candidate *candidates, size_t count,
		    struct lazymem_memory **ret_memory)
{
	struct lazymem_memory *memory =
		malloc(sizeof(*memory) + count * sizeof(memory->regions[0]));

	if (memory == NULL)
		return lm_error(-ENOMEM, "guest memory of %zu regions: out of memory", count);
	atomic_init(&memory->references, 1);
	memory->count = count;
	memory->length = 0;
	for (size_t i = 0; i < count; i++) {
		memory->regions[i] = lazymem_region_ref(candidates[i].region);
		memory->length += candidates[i].region->length;
	}
	assert(lm_memory_is_valid(memory));
	*ret_memory = memory;
	return 0;
}

int lazymem_memory_create(struct lazymem_region *const *regions, size_t count,
			  struct lazymem_memory **ret_memory)
{
	struct candidate *candidates;
	int error = 0;

	if (regions == NULL || count == 0)
		return lm_error(-EINVAL, "guest memory of no regions");
	candidates = calloc(count, sizeof(*candidates));
	if (candidates == NULL)
		return lm_error(-ENOMEM, "guest memory of %zu regions: out of memory", count);
	for (size_t i = 0; error == 0 && i < count; i++) {
		candidates[i] = (struct candidate){regions[i], i};
		if (regions[i] == NULL)
			error = lm_error(-EINVAL, "region %zu of %zu is NULL", i, count);
	}
	if (error == 0)
		error = check_candidates(candidates, count);
	if (error == 0)
		error = assemble(candidates, count, ret_memory);
	free(candidates);
	return error;
}

int lazymem_memory_with(struct lazymem_memory *memory, struct lazymem_region *region,
			struct lazymem_memory **ret_next)
{
	const size_t count = memory->count + 1;
	struct lazymem_region **regions = calloc(count, sizeof(struct lazymem_region *));
	int error;

	if (regions == NULL)
		return lm_error(-ENOMEM, "guest memory of %zu regions: out of memory", count);
	for (size_t i = 0; i < memory->count; i++)
		regions[i] = memory->regions[i];
	regions[memory->count] = region;
	error = lazymem_memory_create(regions, count, ret_next);
	free(regions);
	return error;
}

int lazymem_memory_without(struct lazymem_memory *memory, struct lazymem_region *region,
			   struct lazymem_memory **ret_next)
{
	struct lazymem_region **regions;
	size_t kept = 0;
	int error;

	regions = calloc(memory->count, sizeof(struct lazymem_region *));
	if (regions == NULL)
		return lm_error(-ENOMEM, "guest memory of %zu regions: out of memory",
				memory->count);
	for (size_t i = 0; i < memory->count; i++) {
		if (memory->regions[i] != region)
			regions[kept++] = memory->regions[i];
	}
	if (kept == memory->count)
		error = lm_error(-ENOENT,
				 "region [0x%" PRIx64 "+0x%" PRIx64 "] is not in this guest memory",
				 region->base.value, region->length);
	else if (kept == 0)
		error = lm_error(-EINVAL,
				 "region [0x%" PRIx64 "+0x%" PRIx64
				 "] is the last one of this guest memory",
				 region->base.value, region->length);
	else
		error = lazymem_memory_create(regions, kept, ret_next);
	free(regions);
	return error;
}

struct lazymem_memory *lazymem_memory_ref(struct lazymem_memory *memory)
{
	atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);
	return memory;
}

void lazymem_memory_unref(struct lazymem_memory *memory)
{
	if (memory == NULL)
		return;
	if (atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < memory->count; i++)
		lazymem_region_unref(memory->regions[i]);
	free(memory);
}

size_t lazymem_memory_region_count(const struct lazymem_memory *memory)
{
	return memory->count;
}

struct lazymem_region *lazymem_memory_region(const struct lazymem_memory *memory, size_t index)
{
	return index < memory->count ? memory->regions[index] : NULL;
}

uint64_t lazymem_memory_length(const struct lazymem_memory *memory)
{
	return memory->length;
}
