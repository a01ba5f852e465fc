/* SPDX-License-Identifier: MIT
 *
 * The bytes of a moment as a backing object, for the writer of snapshots.
 *
 * A page of the moment comes from its shadow, or is zeros. Any other is asked
 * for only where there is no parent to leave it to, and is then what the
 * region's own backing object has.
 */
#include "core/checked.h"
#include "core/error.h"
#include "uffd/moment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct source {
	const struct lazymem_moment *moment;
	const struct lazymem_snapshot_region *regions;
	size_t region_count;
};

/* Bytes of the source that lie together in a part, and come from one place. */
enum place { SHADOW, ZEROS, BACKING };

struct piece {
	const struct lm_moment_part *part;
	uint64_t offset; /* in the part */
	uint64_t length;
	enum place place;
};

static lazymem_guest_address address_of(const struct source *source, uint64_t offset,
					uint64_t *ret_left)
{
	size_t i = 0;

	while (offset - source->regions[i].offset >= source->regions[i].length)
		i++;
	offset -= source->regions[i].offset;
	*ret_left = source->regions[i].length - offset;
	return (lazymem_guest_address){source->regions[i].base.value + offset};
}

/* Is the address in the set, and for how many bytes is the answer the same? At most `length`. */
static bool look_up(const struct lazymem_dirty *set, lazymem_guest_address address,
		    uint64_t *length)
{
	const bool is_in = lazymem_dirty_test(set, address);
	struct lazymem_guest_range next;

	if (lazymem_dirty_next(set, address, &next) == 0)
		*length = lm_min(*length, is_in ? next.length : next.start.value - address.value);
	return is_in;
}

static struct piece find_piece(const struct source *source, uint64_t offset, uint64_t length)
{
	const struct lazymem_moment *moment = source->moment;
	struct piece piece = {.place = BACKING};
	uint64_t left = 0;
	const lazymem_guest_address address = address_of(source, offset, &left);

	piece.part = lm_moment_find(moment, address.value, &piece.offset);
	piece.length = lm_min(lm_min(length, left), piece.part->length - piece.offset);
	if (!look_up(moment->copied, address, &piece.length))
		return piece;
	piece.place = look_up(moment->zeros, address, &piece.length) ? ZEROS : SHADOW;
	return piece;
}

static int read_piece(const struct piece *piece, char *buffer)
{
	const struct lm_moment_part *part = piece->part;

	switch (piece->place) {
	case SHADOW:
		memcpy(buffer, part->shadow + piece->offset, piece->length);
		return 0;
	case ZEROS:
		memset(buffer, 0, piece->length);
		return 0;
	case BACKING:
		break;
	}
	return lazymem_backing_read(part->backing, part->backing_offset + piece->offset, buffer,
				    (size_t)piece->length);
}

static void read_source(void *object, struct lazymem_read *read)
{
	int error = 0;
	size_t done = 0;

	while (error == 0 && done < read->length) {
		const struct piece piece =
			find_piece(object, read->offset + done, read->length - done);

		error = read_piece(&piece, (char *)read->buffer + done);
		done += (size_t)piece.length;
	}
	lazymem_read_complete(read, error);
}

static int source_extent(void *object, uint64_t offset, uint64_t length,
			 struct lazymem_extent *ret_extent)
{
	const struct piece piece = find_piece(object, offset, length);
	int error;

	if (piece.place == BACKING) {
		error = lazymem_backing_extent(piece.part->backing,
					       piece.part->backing_offset + piece.offset,
					       piece.length, ret_extent);
		ret_extent->start = offset;
		return error;
	}
	*ret_extent = (struct lazymem_extent){
		.start = offset,
		.length = piece.length,
		.kind = piece.place == ZEROS ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA,
	};
	return 0;
}

/* Every byte of a region must lie in a part. Parts do not overlap, nor do regions, so
 * adding up what they share tells. */
static int check_region(const struct lazymem_moment *moment,
			const struct lazymem_snapshot_region *region)
{
	uint64_t covered = 0;

	for (size_t i = 0; i < moment->part_count; i++) {
		const struct lm_moment_part *part = &moment->parts[i];
		const uint64_t last = region->base.value + (region->length - 1);
		const uint64_t part_last = part->guest + (part->length - 1);
		const uint64_t from =
			part->guest > region->base.value ? part->guest : region->base.value;
		const uint64_t to = lm_min(last, part_last);

		if (from <= to)
			covered += to - from + 1;
	}
	if (covered != region->length)
		return lm_error(-EINVAL,
				"region [0x%" PRIx64 "+0x%" PRIx64
				"] of the parent is not all in the attachment",
				region->base.value, region->length);
	return 0;
}

/* What was written past the end of a parent that is cut off would be lost. */
static int check_end(const struct source *source, uint64_t length, uint64_t all)
{
	struct piece piece;

	if (length == all)
		return 0;
	piece = find_piece(source, length, all - length);
	if (piece.place != SHADOW)
		return 0;
	for (uint64_t i = 0; i < piece.length; i++)
		if (piece.part->shadow[piece.offset + i] != 0)
			return lm_error(-ERANGE,
					"guest address 0x%" PRIx64
					" was written, and lies past the end of the parent",
					piece.part->guest + piece.offset + i);
	return 0;
}

static int check(const struct source *source, uint64_t length)
{
	uint64_t all = 0;
	int error = 0;

	for (size_t i = 0; error == 0 && i < source->region_count; i++) {
		error = check_region(source->moment, &source->regions[i]);
		all += source->regions[i].length;
	}
	return error != 0 ? error : check_end(source, length, all);
}

static const struct lazymem_backing_operations operations = {
	.size = sizeof(operations),
	.read = read_source,
	.extent = source_extent,
	.close = free,
};

int lm_moment_source_create(const struct lazymem_moment *moment,
			    const struct lazymem_snapshot_region *regions, size_t region_count,
			    uint64_t length, struct lazymem_backing **ret_backing)
{
	struct source *source = malloc(sizeof(*source));
	int error;

	if (source == NULL)
		return lm_error(-ENOMEM, "no memory for the source of a moment");
	*source = (struct source){moment, regions, region_count};
	error = check(source, length);
	if (error == 0)
		error = lazymem_backing_create(&operations, source, length,
					       "guest memory at a moment", ret_backing);
	if (error != 0)
		free(source);
	return error;
}
