/* SPDX-License-Identifier: MIT
 *
 * memory_find.c - from guest addresses to regions, spans and descriptors.
 *
 * Everything that crosses regions goes through one walk, which checks its
 * whole range before it gives out the first piece: no caller can find out
 * half-way that the rest of the range is not there.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"
#include "core/memory.h"

#include <errno.h>
#include <sys/mman.h>

/* The index of the region that holds address; memory->count if none does. */
static size_t find_index(const struct lazymem_memory *memory, lazymem_guest_address address)
{
	size_t low = 0, high = memory->count;
	const struct lazymem_region *region;

	/* afterwards `low` regions begin at or below address */
	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (memory->regions[middle]->base.value <= address.value)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0)
		return memory->count;
	region = memory->regions[low - 1];
	return address.value - region->base.value < region->length ? low - 1 : memory->count;
}

static int nothing_at(uint64_t address)
{
	return lm_error(-EFAULT, "no region holds guest address 0x%" PRIx64, address);
}

int lazymem_memory_find(const struct lazymem_memory *memory, lazymem_guest_address address,
			struct lazymem_region **ret_region, uint64_t *ret_offset)
{
	const size_t index = find_index(memory, address);

	if (index == memory->count)
		return nothing_at(address.value);
	*ret_region = memory->regions[index];
	*ret_offset = address.value - memory->regions[index]->base.value;
	return 0;
}

static int check_bounds(lazymem_guest_address address, uint64_t length)
{
	uint64_t last;

	if (length == 0)
		return lm_error(-EINVAL, "a range of no bytes at guest address 0x%" PRIx64,
				address.value);
	if (!lm_add(address.value, length - 1, &last))
		return lm_error(-EOVERFLOW,
				"range [0x%" PRIx64 "+0x%" PRIx64
				"] goes past the end of the guest's address space",
				address.value, length);
	return 0;
}

static int check_protection(const struct lazymem_memory *memory, size_t index, int protection)
{
	const struct lazymem_region *region = memory->regions[index];
	const int missing = protection & ~region->mapping->protection;

	if (missing == 0)
		return 0;
	return lm_error(-EACCES, LM_REGION " is mapped without permission to %s",
			LM_REGION_IS(index, region), missing & PROT_WRITE ? "write" : "read");
}

/* Does the range from `offset` in region `index` on lie wholly in regions that
 * follow on one another without a gap? */
static int check_walk(const struct lm_walk *walk, int protection)
{
	const struct lazymem_memory *memory = walk->memory;
	size_t index = walk->index;
	uint64_t left = walk->left;
	uint64_t here = memory->regions[index]->length - walk->offset;

	for (;;) {
		const struct lazymem_region *region = memory->regions[index];
		const int error = check_protection(memory, index, protection);

		if (error != 0)
			return error;
		if (left <= here)
			return 0;
		left -= here;
		/* cannot wrap: more of the range follows, and it ends below 2^64 */
		index++;
		if (index == memory->count ||
		    memory->regions[index]->base.value != region->base.value + region->length)
			return nothing_at(region->base.value + region->length);
		here = memory->regions[index]->length;
	}
}

int lm_walk_begin(const struct lazymem_memory *memory, lazymem_guest_address address,
		  uint64_t length, int protection, struct lm_walk *ret_walk)
{
	struct lm_walk walk = {.memory = memory, .left = length};
	int error = check_bounds(address, length);

	if (error != 0)
		return error;
	walk.index = find_index(memory, address);
	if (walk.index == memory->count)
		return nothing_at(address.value);
	walk.offset = address.value - memory->regions[walk.index]->base.value;
	error = check_walk(&walk, protection);
	if (error == 0)
		*ret_walk = walk;
	return error;
}

bool lm_walk_next(struct lm_walk *walk, struct lm_piece *ret_piece)
{
	struct lazymem_region *region;
	uint64_t length;

	if (walk->left == 0)
		return false;
	region = walk->memory->regions[walk->index];
	length = lm_min(walk->left, region->length - walk->offset);
	ret_piece->region = region;
	ret_piece->index = walk->index;
	ret_piece->offset = (size_t)walk->offset;
	ret_piece->length = (size_t)length;
	ret_piece->host = region->mapping->host + walk->offset;
	walk->index++;
	walk->offset = 0;
	walk->left -= length;
	return true;
}

int lazymem_memory_span(const struct lazymem_memory *memory, lazymem_guest_address address,
			size_t length, struct lazymem_span *ret_span)
{
	struct lazymem_region *region = NULL;
	uint64_t offset = 0;
	int error;

	if (length == 0)
		return lm_error(-EINVAL, "a span of no bytes at guest address 0x%" PRIx64,
				address.value);
	error = lazymem_memory_find(memory, address, &region, &offset);
	if (error != 0)
		return error;
	ret_span->host = region->mapping->host + offset;
	ret_span->length = (size_t)lm_min(length, region->length - offset);
	return 0;
}

/* Begin a walk of at most `capacity` pieces; *ret_count is how many there are. */
static int begin_counted(const struct lazymem_memory *memory, lazymem_guest_address address,
			 size_t length, size_t capacity, struct lm_walk *ret_walk,
			 size_t *ret_count)
{
	struct lm_walk walk = {0};
	struct lm_walk counted;
	struct lm_piece piece;
	size_t count = 0;
	const int error = lm_walk_begin(memory, address, length, 0, &walk);

	if (error != 0)
		return error;
	counted = walk;
	while (lm_walk_next(&counted, &piece))
		count++;
	if (count > capacity)
		return lm_error(-ENOBUFS,
				"range [0x%" PRIx64 "+0x%zx] crosses %zu regions, there is room "
				"for %zu",
				address.value, length, count, capacity);
	*ret_walk = walk;
	*ret_count = count;
	return 0;
}

int lazymem_memory_spans(const struct lazymem_memory *memory, lazymem_guest_address address,
			 size_t length, struct lazymem_span *spans, size_t capacity,
			 size_t *ret_count)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	size_t i = 0;
	const int error = begin_counted(memory, address, length, capacity, &walk, ret_count);

	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece))
		spans[i++] = (struct lazymem_span){piece.host, piece.length};
	return 0;
}

int lazymem_memory_iovecs(const struct lazymem_memory *memory, lazymem_guest_address address,
			  size_t length, struct iovec *iovecs, size_t capacity, size_t *ret_count)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	size_t i = 0;
	const int error = begin_counted(memory, address, length, capacity, &walk, ret_count);

	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece))
		iovecs[i++] = (struct iovec){piece.host, piece.length};
	return 0;
}

int lazymem_memory_fd(const struct lazymem_memory *memory, lazymem_guest_address address,
		      uint64_t length, int *ret_fd, uint64_t *ret_offset, uint64_t *ret_length)
{
	struct lazymem_region *region = NULL;
	uint64_t offset = 0, mapping_offset = 0;
	int error;

	if (length == 0)
		return lm_error(-EINVAL, "a range of no bytes at guest address 0x%" PRIx64,
				address.value);
	error = lazymem_memory_find(memory, address, &region, &offset);
	if (error == 0)
		error = lazymem_mapping_fd(region->mapping, ret_fd, &mapping_offset);
	if (error != 0)
		return error;
	*ret_offset = mapping_offset + offset;
	*ret_length = lm_min(length, region->length - offset);
	return 0;
}
