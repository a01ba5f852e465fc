/* SPDX-License-Identifier: MIT
 *
 * block_map.h - which blocks of an array of bytes may hold data, while they are
 * written and discarded; the others are zero.
 */
#ifndef LM_BLOCK_MAP_H
#define LM_BLOCK_MAP_H

#include "backing/extent_map.h"

#include <lazymem/backing.h>
#include <stdatomic.h>
#include <stdint.h>

#define LM_BLOCK_SIZE UINT64_C(4096)

struct lm_block_map {
	_Atomic uint64_t *words; /* a bit for each block: set where there may be data */
	uint64_t length;         /* of the whole array: bytes */
};

/* Blocks that have data in `extents`. -ENOMEM. */
int lm_block_map_create(struct lm_block_map *map, const struct lm_extent_map *extents);
void lm_block_map_destroy(struct lm_block_map *map);

/* These bytes, inside the map, may be data from now on. Any thread. */
void lm_block_map_mark(struct lm_block_map *map, uint64_t offset, uint64_t length);

/* They are zero, so that blocks wholly in them have no data. Any thread. */
void lm_block_map_clear(struct lm_block_map *map, uint64_t offset, uint64_t length);

/* The extent at `offset`, cut to `length` bytes, both inside the map; may end
 * before the kind changes. Any thread. */
void lm_block_map_find(const struct lm_block_map *map, uint64_t offset, uint64_t length,
		       struct lazymem_extent *ret_extent);

#endif
