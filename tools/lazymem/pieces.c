/* SPDX-License-Identifier: MIT */
#include "pieces.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct pieces {
	struct lazymem_backing *source;
	struct piece_list list; /* ascending, no two overlap */
};

int piece_list_add(struct piece_list *list, struct piece piece)
{
	if (list->count == list->room) {
		const size_t room = list->room == 0 ? 64 : list->room * 2;
		struct piece *grown = reallocarray(list->pieces, room, sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		list->pieces = grown;
		list->room = room;
	}
	list->pieces[list->count++] = piece;
	return 0;
}

void piece_list_free(struct piece_list *list)
{
	free(list->pieces);
	*list = (struct piece_list){0};
}

/* The index of the first piece that ends behind `offset`, or the count. */
static size_t find(const struct piece_list *list, uint64_t offset)
{
	size_t low = 0;
	size_t high = list->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct piece *piece = &list->pieces[middle];

		if (piece->start + piece->length > offset)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* What is at `offset`: NULL for zeros, else the piece. `ret_length` is how far
 * it goes, at most `length`. */
static const struct piece *look_up(const struct pieces *pieces, uint64_t offset, uint64_t length,
				   uint64_t *ret_length)
{
	const size_t index = find(&pieces->list, offset);
	const struct piece *piece;
	uint64_t end;

	*ret_length = length;
	if (index == pieces->list.count)
		return NULL;
	piece = &pieces->list.pieces[index];
	end = piece->start > offset ? piece->start : piece->start + piece->length;
	if (end - offset < length)
		*ret_length = end - offset;
	return piece->start > offset ? NULL : piece;
}

static void read_pieces(void *object, struct lazymem_read *read)
{
	const struct pieces *pieces = object;
	uint64_t done = 0;
	int error = 0;

	while (done < read->length && error == 0) {
		const uint64_t offset = read->offset + done;
		unsigned char *target = (unsigned char *)read->buffer + done;
		uint64_t length;
		const struct piece *piece = look_up(pieces, offset, read->length - done, &length);

		if (piece == NULL)
			memset(target, 0, length);
		else
			error = lazymem_backing_read(pieces->source,
						     piece->source_offset + offset - piece->start,
						     target, length);
		done += length;
	}
	lazymem_read_complete(read, error);
}

static int extent_of_pieces(void *object, uint64_t offset, uint64_t length,
			    struct lazymem_extent *ret_extent)
{
	const struct pieces *pieces = object;
	uint64_t found;
	const struct piece *piece = look_up(pieces, offset, length, &found);
	int error;

	if (piece == NULL) {
		*ret_extent = (struct lazymem_extent){offset, found, LAZYMEM_EXTENT_ZERO};
		return 0;
	}
	error = lazymem_backing_extent(pieces->source, piece->source_offset + offset - piece->start,
				       found, ret_extent);
	ret_extent->start = offset;
	return error;
}

static void close_pieces(void *object)
{
	struct pieces *pieces = object;

	lazymem_backing_unref(pieces->source);
	piece_list_free(&pieces->list);
	free(pieces);
}

int pieces_create(struct lazymem_backing *source, struct piece_list *list, uint64_t length,
		  struct lazymem_backing **ret_backing)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = read_pieces,
		.extent = extent_of_pieces,
		.close = close_pieces,
	};
	struct pieces *pieces = malloc(sizeof(*pieces));
	int error;

	if (pieces == NULL)
		return -ENOMEM;
	*pieces = (struct pieces){.source = source, .list = *list};
	error = lazymem_backing_create(&operations, pieces, length, lazymem_backing_name(source),
				       ret_backing);
	if (error != 0) {
		free(pieces);
		return error;
	}
	lazymem_backing_ref(source);
	*list = (struct piece_list){0};
	return 0;
}
