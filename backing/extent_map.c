/* SPDX-License-Identifier: MIT
 *
 * extent_map.c - a sorted array of the extents that are data.
 *
 * The array is filled once, in ascending order, and then only searched, so it
 * needs no lock. Every hole is kept, however many there are: of an image that is
 * laid over another one a hole is what shows the one below, and zeros in its
 * place would be wrong bytes. The file system keeps as many extents itself.
 */
#include "backing/extent_map.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void lm_extent_map_init(struct lm_extent_map *map, uint64_t length)
{
	*map = (struct lm_extent_map){.length = length};
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

static int grow(struct lm_extent_map *map)
{
	const size_t capacity = map->capacity == 0 ? 16 : map->capacity * 2;
	struct lm_data_extent *data = reallocarray(map->data, capacity, sizeof(*data));

	if (data == NULL)
		return lm_error(-ENOMEM, "no memory for %zu extents", capacity);
	map->data = data;
	map->capacity = capacity;
	return 0;
}

int lm_extent_map_add(struct lm_extent_map *map, uint64_t start, uint64_t length)
{
	assert(length > 0 && lm_fits(start, length, map->length));
	if (map->count > 0) {
		struct lm_data_extent *last = &map->data[map->count - 1];

		assert(start >= end_of(last));
		if (start == end_of(last)) {
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

/* What the file system's failure to seek data or a hole means: 0 where it has no
 * notion of them, or the file was cut off, so that everything is data. */
static int judge_refusal(int error)
{
	if (error == EINVAL || error == EOPNOTSUPP || error == ENXIO)
		return 0;
	return lm_error_errno(-error, "cannot seek holes");
}

/* The next data at or after `position` in the file, below `end`; an empty
 * extent when there is none, everything up to `end` when the file system
 * cannot tell. */
static int next_data(int fd, uint64_t position, uint64_t end, struct lm_data_extent *ret_data)
{
	const off_t data = lseek(fd, (off_t)position, SEEK_DATA);
	off_t hole;

	*ret_data = (struct lm_data_extent){position, end - position};
	if (data < 0 && errno != ENXIO)
		return judge_refusal(errno);
	if (data < 0 || (uint64_t)data >= end) {
		ret_data->length = 0;
		return 0;
	}
	if ((uint64_t)data < position)
		return 0;
	hole = lseek(fd, data, SEEK_HOLE);
	if (hole < 0)
		return judge_refusal(errno);
	if (hole == data)
		return 0;
	ret_data->start = (uint64_t)data;
	ret_data->length = lm_min((uint64_t)hole, end) - (uint64_t)data;
	return 0;
}

int lm_extent_map_scan(struct lm_extent_map *map, int fd, uint64_t start)
{
	const uint64_t end = start + map->length;
	uint64_t position = start;

	while (position < end) {
		struct lm_data_extent data;
		int error = next_data(fd, position, end, &data);

		if (error == 0 && data.length == 0)
			return 0;
		if (error == 0)
			error = lm_extent_map_add(map, data.start - start, data.length);
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
