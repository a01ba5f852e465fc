/* SPDX-License-Identifier: MIT
 *
 * memory_ranges.c - sync, discard, prefetch and resident over a guest range.
 *
 * Two passes: the first checks that the whole range is there and is made of
 * whole pages of every mapping that it crosses, the second lets the mappings
 * work. So a range that is wrong is refused before anything was done.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"
#include "core/memory.h"

#include <errno.h>

/* Which ends of a piece must lie on page boundaries. */
enum boundary { START_ALIGNED, BOTH_ALIGNED };

static int check_piece(const struct lm_piece *piece, enum boundary boundary)
{
	const size_t page_size = piece->region->mapping->page_size;

	if (lm_is_aligned(piece->offset, page_size) &&
	    (boundary == START_ALIGNED || lm_is_aligned(piece->length, page_size)))
		return 0;
	return lm_error(-EINVAL, LM_REGION ": [+0x%zx, 0x%zx bytes] is not in whole pages of %zu",
			LM_REGION_IS(piece->index, piece->region), piece->offset, piece->length,
			page_size);
}

static int begin(const struct lazymem_memory *memory, lazymem_guest_address address,
		 uint64_t length, enum boundary boundary, struct lm_walk *ret_walk)
{
	struct lm_walk walk = {0}, checked;
	struct lm_piece piece;
	int error = lm_walk_begin(memory, address, length, 0, &walk);

	if (error != 0)
		return error;
	checked = walk;
	while (error == 0 && lm_walk_next(&checked, &piece))
		error = check_piece(&piece, boundary);
	if (error == 0)
		*ret_walk = walk;
	return error;
}

/* The mapping's own message, with the region before it. */
static int name_region(const struct lm_piece *piece, int error)
{
	return lm_error(error, LM_REGION ": %s", LM_REGION_IS(piece->index, piece->region),
			lazymem_error_message());
}

static int for_each_mapping(struct lazymem_memory *memory, lazymem_guest_address address,
			    uint64_t length, enum boundary boundary,
			    int (*verb)(struct lazymem_mapping *mapping, size_t start,
					size_t length))
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	int error = begin(memory, address, length, boundary, &walk);

	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece)) {
		error = verb(piece.region->mapping, piece.offset, piece.length);
		if (error != 0)
			return name_region(&piece, error);
	}
	return 0;
}

int lazymem_memory_sync(struct lazymem_memory *memory, lazymem_guest_address address,
			uint64_t length)
{
	return for_each_mapping(memory, address, length, START_ALIGNED, lazymem_mapping_sync);
}

int lazymem_memory_discard(struct lazymem_memory *memory, lazymem_guest_address address,
			   uint64_t length)
{
	return for_each_mapping(memory, address, length, BOTH_ALIGNED, lazymem_mapping_discard);
}

int lazymem_memory_prefetch(struct lazymem_memory *memory, lazymem_guest_address address,
			    uint64_t length)
{
	return for_each_mapping(memory, address, length, BOTH_ALIGNED, lazymem_mapping_prefetch);
}

int lazymem_memory_resident(struct lazymem_memory *memory, lazymem_guest_address address,
			    uint64_t length, uint64_t *ret_bytes)
{
	struct lm_walk walk = {0};
	struct lm_piece piece;
	uint64_t total = 0;
	int error = begin(memory, address, length, BOTH_ALIGNED, &walk);

	if (error != 0)
		return error;
	while (lm_walk_next(&walk, &piece)) {
		size_t bytes = 0;

		error = lazymem_mapping_resident(piece.region->mapping, piece.offset, piece.length,
						 &bytes);
		if (error != 0)
			return name_region(&piece, error);
		total += bytes;
	}
	*ret_bytes = total;
	return 0;
}
