/* SPDX-License-Identifier: MIT
 *
 * A RAM block knows nothing of guest addresses. On a PC, memory up to some
 * limit below 4 GiB is at address 0, and the rest from 4 GiB on; the limit
 * depends on the machine and is at least 2 GiB, so that a smaller block is one
 * region, and a larger one needs --region.
 */
#include "complain.h"
#include "mapped_ram.h"
#include "pieces.h"
#include "source.h"

#include <inttypes.h>
#include <lazymem/common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_BLOCK "pc.ram"
#define LOW_MEMORY_LEAST (UINT64_C(2) << 30)

/* Up to `limit` bytes at `offset`, fewer at the end of the file. 0, or -1
 * after a message. */
static int read_up_to(struct lazymem_backing *file, uint64_t offset, void *buffer, size_t limit,
		      size_t *ret_length)
{
	const uint64_t file_length = lazymem_backing_length(file);

	*ret_length = 0;
	if (offset >= file_length)
		return 0;
	*ret_length = file_length - offset < limit ? (size_t)(file_length - offset) : limit;
	if (lazymem_backing_read(file, offset, buffer, *ret_length) == 0)
		return 0;
	complain("%s", lazymem_error_message());
	return -1;
}

static int read_head(struct lazymem_backing *file, struct mapped_ram_head *ret_head)
{
	struct parse_fault fault;
	void *bytes = malloc(MAPPED_RAM_HEAD_MAX);
	size_t length;
	int result = -1;

	if (bytes == NULL)
		complain("no memory for %zu bytes", MAPPED_RAM_HEAD_MAX);
	else if (read_up_to(file, 0, bytes, MAPPED_RAM_HEAD_MAX, &length) != 0)
		;
	else if (mapped_ram_parse_head(bytes, length, ret_head, &fault) != 0)
		complain("%s: %s", lazymem_backing_name(file), fault.text);
	else
		result = 0;
	free(bytes);
	return result;
}

static int read_block(struct lazymem_backing *file, const struct mapped_ram_head *head,
		      uint64_t offset, struct mapped_ram_block *ret_block)
{
	char bytes[MAPPED_RAM_BLOCK_MAX];
	struct parse_fault fault;
	size_t length;

	if (read_up_to(file, offset, bytes, sizeof(bytes), &length) != 0)
		return -1;
	if (mapped_ram_parse_block(head, bytes, length, offset, lazymem_backing_length(file),
				   ret_block, &fault) == 0)
		return 0;
	complain("%s: %s", lazymem_backing_name(file), fault.text);
	return -1;
}

/* Names of blocks for a message, as many as fit. */
struct names {
	char text[512];
	size_t length;
};

static void add_name(struct names *names, const char *name)
{
	const size_t room = sizeof(names->text) - names->length;
	const int length = snprintf(names->text + names->length, room, "%s%s",
				    names->length > 0 ? ", " : "", name);

	if (length > 0)
		names->length += (size_t)length < room ? (size_t)length : room - 1;
}

/* 0, or -1 after a message. */
static int find_block(struct lazymem_backing *file, const char *wanted,
		      struct mapped_ram_block *ret_block)
{
	struct names names = {.length = 0};
	struct mapped_ram_head head;
	uint64_t left;
	uint64_t at;

	if (read_head(file, &head) != 0)
		return -1;
	at = head.first;
	for (left = head.total; left > 0; left -= ret_block->length) {
		if (read_block(file, &head, at, ret_block) != 0)
			return -1;
		if (strcmp(ret_block->name, wanted) == 0)
			return 0;
		add_name(&names, ret_block->name);
		if (ret_block->length > left)
			break;
		at = ret_block->next;
	}
	complain("%s: has no RAM block \"%s\"; it has: %s. See --block", lazymem_backing_name(file),
		 wanted, names.text);
	return -1;
}

/* 0, or -1 after a message. */
static int list_pages(struct lazymem_backing *file, const struct mapped_ram_block *block,
		      const void *bitmap, struct piece_list *list)
{
	const uint64_t page = block->page_size;
	const uint64_t file_length = lazymem_backing_length(file);
	uint64_t first;
	uint64_t count;

	for (uint64_t at = 0; (count = mapped_ram_next_run(block, bitmap, at, &first)) > 0;
	     at = first + count) {
		const struct piece piece = {first * page, count * page,
					    block->pages_offset + first * page};

		if (piece.source_offset > file_length ||
		    piece.length > file_length - piece.source_offset) {
			complain("%s: is truncated: pages of RAM block \"%s\" lie past its end",
				 lazymem_backing_name(file), block->name);
			return -1;
		}
		if (piece_list_add(list, piece) != 0) {
			complain("no memory for the pages of RAM block \"%s\"", block->name);
			return -1;
		}
	}
	return 0;
}

/* With x-ignore-shared, memory that is shared is not in the file; some versions
 * of QEMU say so, and others give it a bitmap without a page. 0, or -1 after a
 * message. */
static int check_stored(struct lazymem_backing *file, const struct mapped_ram_block *block,
			const struct piece_list *list)
{
	if (block->is_stored && (list->count > 0 || !block->may_be_shared))
		return 0;
	complain("%s: the memory of RAM block \"%s\" was shared, and is not in the file",
		 lazymem_backing_name(file), block->name);
	return -1;
}

static int make_backing(struct lazymem_backing *file, const struct mapped_ram_block *block,
			struct source *source)
{
	struct piece_list list = {0};
	void *bitmap = malloc(block->bitmap_length);
	int result = -1;

	if (bitmap == NULL)
		complain("no memory for the bitmap of RAM block \"%s\"", block->name);
	else if (lazymem_backing_read(file, block->bitmap_offset, bitmap, block->bitmap_length) !=
		 0)
		complain("%s", lazymem_error_message());
	else if (list_pages(file, block, bitmap, &list) != 0 ||
		 check_stored(file, block, &list) != 0)
		;
	else if (pieces_create(file, &list, block->length, &source->backing) != 0)
		complain("%s", lazymem_error_message());
	else
		result = 0;
	piece_list_free(&list);
	free(bitmap);
	return result;
}

int import_mapped_ram(struct lazymem_backing *file, const struct source_request *request,
		      struct source *source)
{
	struct mapped_ram_block block;

	if (find_block(file, request->block != NULL ? request->block : DEFAULT_BLOCK, &block) != 0)
		return -1;
	if (!block.is_stored)
		return check_stored(file, &block, NULL);
	if (request->region_count == 0 && block.length > LOW_MEMORY_LEAST) {
		complain("%s: RAM block \"%s\" has %" PRIu64
			 " bytes, part of which are above 4 GiB: say where with --region",
			 lazymem_backing_name(file), block.name, block.length);
		return -1;
	}
	if (source_take_regions(request->regions, request->region_count, source) != 0)
		return -1;
	return make_backing(file, &block, source);
}
