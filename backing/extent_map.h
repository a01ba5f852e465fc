/* SPDX-License-Identifier: MIT
 *
 * extent_map.h - which parts of an array of bytes are data; the rest is zero.
 */
#ifndef LM_EXTENT_MAP_H
#define LM_EXTENT_MAP_H

#include <lazymem/backing.h>
#include <stddef.h>
#include <stdint.h>

struct lm_data_extent {
	uint64_t start;
	uint64_t length;
};

struct lm_extent_map {
	struct lm_data_extent *data; /* sorted, disjoint, not adjacent, none empty */
	size_t count;
	size_t capacity;
	uint64_t length; /* of the whole array */
};

/* No data in `length` bytes. */
void lm_extent_map_init(struct lm_extent_map *map, uint64_t length);
void lm_extent_map_destroy(struct lm_extent_map *map);

/* Data at [start, start + length), inside the map, not before the data that
 * was added last. -ENOMEM. */
int lm_extent_map_add(struct lm_extent_map *map, uint64_t start, uint64_t length);

/* Add what the file system calls data (SEEK_DATA, SEEK_HOLE) in the bytes of
 * fd from `start` on, as many as the map is long. Everything is data where it
 * has no notion of holes. Moves fd's offset. -ENOMEM, any other errno of lseek. */
int lm_extent_map_scan(struct lm_extent_map *map, int fd, uint64_t start);

/* The extent at `offset`, cut to `length` bytes, both inside the map. */
void lm_extent_map_find(const struct lm_extent_map *map, uint64_t offset, uint64_t length,
			struct lazymem_extent *ret_extent);

#endif
