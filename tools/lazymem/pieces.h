/* SPDX-License-Identifier: MIT
 *
 * pieces.h - a backing object that is made of pieces of another one, and is
 * zero between them: what the importers of foreign files have in common.
 */
#ifndef LAZYMEM_TOOL_PIECES_H
#define LAZYMEM_TOOL_PIECES_H

#include <lazymem/backing.h>

/* `length` bytes at `start` are those at `source_offset` of the other object. */
struct piece {
	uint64_t start;
	uint64_t length;
	uint64_t source_offset;
};

struct piece_list {
	struct piece *pieces;
	size_t count;
	size_t room;
};

/* The next piece, behind all others. -ENOMEM. */
int piece_list_add(struct piece_list *list, struct piece piece);
void piece_list_free(struct piece_list *list);

/* An object of `length` bytes, all pieces inside it. On success it owns the
 * list and has a reference to `source`. Errors as lazymem_backing_create. */
int pieces_create(struct lazymem_backing *source, struct piece_list *list, uint64_t length,
		  struct lazymem_backing **ret_backing);

#endif
