/* SPDX-License-Identifier: MIT
 *
 * extent_map.c - a sorted array of the extents that are data.
 *
 * The array is filled once, in ascending order, and then only searched, so it
 * needs no lock. Its memory is bounded: a file of a million tiny extents would
 * make a map larger than what it saves. When the limit is reached, the length
 * below which a hole is not worth remembering doubles, and the extents around
 * shorter holes are joined, until half of the array is free. That errs on the
 * safe side only: a hole that is taken for data is read and gives zeros, while
 * data is never taken for a hole.
 */
#include "backing/extent_map.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void lm_extent_map_init(struct lm_extent_map *map, uint64_t length, size_t limit)
{
	assert(limit >= 2);
	*map = (struct lm_extent_map){.limit = limit, .minimum_hole = 1, .length = length};
}

void lm_extent_map_destroy(struct lm_extent_map *map)
{
	free(map->data);
	map->data = NULL;
	map->count = 0;
	map->capacity = 0;
}

static uint64_t end_of(const struct lm_data_extent *extent)
{
	return extent->start + extent->length;
}

/* Join the extents on both sides of every hole below the minimum. */
static void join_extents(struct lm_extent_map *map)
{
	size_t last = 0;

	for (size_t i = 1; i < map->count; i++) {
		struct lm_data_extent *into = &map->data[last];
		const struct lm_data_extent *next = &map->data[i];

		if (next->start - end_of(into) < map->minimum_hole)
			into->length = end_of(next) - into->start;
		else
			map->data[++last] = *next;
	}
	map->count = last + 1;
}

static int grow(struct lm_extent_map *map)
{
	size_t capacity = map->capacity == 0 ? 16 : map->capacity * 2;
	struct lm_data_extent *data;

	if (capacity > map->limit)
		capacity = map->limit;
	data = reallocarray(map->data, capacity, sizeof(*data));
	if (data == NULL)
		return lm_error(-ENOMEM, "no memory for %zu extents", capacity);
	map->data = data;
	map->capacity = capacity;
	return 0;
}

int lm_extent_map_add(struct lm_extent_map *map, uint64_t start, uint64_t length)
{
	assert(length > 0 && lm_fits(start, length, map->length));
	while (map->count == map->limit) {
		map->minimum_hole *= 2;
		join_extents(map);
		if (map->count <= map->limit / 2)
			break;
	}
	if (map->count > 0) {
		struct lm_data_extent *last = &map->data[map->count - 1];

		assert(start >= end_of(last));
		if (start - end_of(last) < map->minimum_hole) {
			last->length = start + length - last->start;
			return 0;
		}
	}
	if (map->count == map->capacity) {
		int error = grow(map);

		if (error != 0)
			return error;
	}
	map->data[map->count++] = (struct lm_data_extent){start, length};
	return 0;
}

/* The next data at or after `position` in the file, below `end`. False when
 * there is none; everything up to `end` when the file system cannot tell. */
static bool next_data(int fd, uint64_t position, uint64_t end, struct lm_data_extent *ret_data)
{
	off_t data, hole;

	*ret_data = (struct lm_data_extent){position, end - position};
	data = lseek(fd, (off_t)position, SEEK_DATA);
	if (data < 0)
		return errno != ENXIO;
	if ((uint64_t)data >= end)
		return false;
	if ((uint64_t)data < position)
		return true;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole <= data)
		return true;
	ret_data->start = (uint64_t)data;
	ret_data->length = lm_min((uint64_t)hole, end) - (uint64_t)data;
	return true;
}

int lm_extent_map_scan(struct lm_extent_map *map, int fd, uint64_t start)
{
	const uint64_t end = start + map->length;
	struct lm_data_extent data;
	uint64_t position = start;

	while (position < end && next_data(fd, position, end, &data)) {
		int error = lm_extent_map_add(map, data.start - start, data.length);

		if (error != 0)
			return error;
		position = end_of(&data);
	}
	return 0;
}

/* How many extents begin at or before `offset`. */
static size_t count_up_to(const struct lm_extent_map *map, uint64_t offset)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (map->data[middle].start <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

void lm_extent_map_find(const struct lm_extent_map *map, uint64_t offset, uint64_t length,
			struct lazymem_extent *ret_extent)
{
	const size_t next = count_up_to(map, offset);
	uint64_t end = map->length;

	ret_extent->start = offset;
	ret_extent->kind = LAZYMEM_EXTENT_ZERO;
	if (next > 0 && offset < end_of(&map->data[next - 1])) {
		ret_extent->kind = LAZYMEM_EXTENT_DATA;
		end = end_of(&map->data[next - 1]);
	} else if (next < map->count) {
		end = map->data[next].start;
	}
	ret_extent->length = lm_min(length, end - offset);
}
