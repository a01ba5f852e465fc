/* SPDX-License-Identifier: MIT */
#include "mapped_ram.h"

#include <inttypes.h>
#include <string.h>

enum {
	STREAM_VERSION = 3,
	RAM_VERSION = 4,
	HEADER_VERSION = 1,
	MARK_SECTION_START = 0x01,
	MARK_SUBSECTION = 0x05,
	MARK_CONFIGURATION = 0x07,
	FLAG_MEMORY_SIZE = 0x04,
	FLAG_BITS = 0x3ff,
	UUID_LENGTH = 16,
};

/* Bytes that are taken one after the other; once they are not enough, `ended`
 * is set and everything that is taken is zero. */
struct cursor {
	const unsigned char *bytes;
	size_t length;
	size_t at;
	bool ended;
};

static const unsigned char *take(struct cursor *cursor, size_t length)
{
	const unsigned char *taken = cursor->bytes + cursor->at;

	if (cursor->ended || length > cursor->length - cursor->at) {
		cursor->ended = true;
		return NULL;
	}
	cursor->at += length;
	return taken;
}

static uint64_t take_number(struct cursor *cursor, size_t length)
{
	const unsigned char *bytes = take(cursor, length);
	uint64_t number = 0;

	for (size_t i = 0; bytes != NULL && i < length; i++)
		number = number << 8 | bytes[i];
	return number;
}

static unsigned take_byte(struct cursor *cursor)
{
	return (unsigned)take_number(cursor, 1);
}

static uint32_t take_32(struct cursor *cursor)
{
	return (uint32_t)take_number(cursor, 4);
}

/* A byte of length, and so many characters. What is no text is made so. */
static void take_name(struct cursor *cursor, char name[256])
{
	const unsigned length = take_byte(cursor);
	const unsigned char *bytes = take(cursor, length);

	name[0] = '\0';
	if (bytes == NULL)
		return;
	for (unsigned i = 0; i < length; i++)
		name[i] = (char)(bytes[i] >= 0x20 && bytes[i] < 0x7f ? bytes[i] : '?');
	name[length] = '\0';
}

struct capabilities {
	bool mapped_ram;
	bool ignore_shared;
};

static void take_capabilities(struct cursor *cursor, struct capabilities *capabilities)
{
	const uint32_t count = take_32(cursor);

	for (uint32_t i = 0; i < count && !cursor->ended; i++) {
		char name[256];

		take_name(cursor, name);
		capabilities->mapped_ram |= strcmp(name, "mapped-ram") == 0;
		capabilities->ignore_shared |= strcmp(name, "x-ignore-shared") == 0;
	}
}

/* A subsection does not say how long it is. */
static int take_subsection(struct cursor *cursor, struct capabilities *capabilities,
			   struct parse_fault *fault)
{
	char name[256];

	take_byte(cursor);
	take_name(cursor, name);
	take_32(cursor);
	if (strcmp(name, "configuration/capabilities") == 0)
		take_capabilities(cursor, capabilities);
	else if (strcmp(name, "configuration/target-page-bits") == 0)
		take_32(cursor);
	else if (strcmp(name, "configuration/uuid") == 0)
		take(cursor, UUID_LENGTH);
	else if (!cursor->ended)
		return parse_refuse(fault, "has an unknown part of the configuration, \"%s\"",
				    name);
	return 0;
}

static unsigned next_mark(const struct cursor *cursor)
{
	return cursor->at < cursor->length ? cursor->bytes[cursor->at] : 0;
}

static int take_configuration(struct cursor *cursor, struct capabilities *capabilities,
			      struct parse_fault *fault)
{
	if (next_mark(cursor) != MARK_CONFIGURATION)
		return 0;
	take_byte(cursor);
	take(cursor, take_32(cursor));
	while (!cursor->ended && next_mark(cursor) == MARK_SUBSECTION) {
		int error = take_subsection(cursor, capabilities, fault);

		if (error != 0)
			return error;
	}
	return 0;
}

static int take_section(struct cursor *cursor, struct mapped_ram_head *head,
			struct parse_fault *fault)
{
	const unsigned mark = take_byte(cursor);
	char name[256];
	uint32_t version;
	uint64_t word;

	take_32(cursor);
	take_name(cursor, name);
	take_32(cursor);
	version = take_32(cursor);
	word = take_number(cursor, 8);
	if (cursor->ended)
		return 0;
	if (mark != MARK_SECTION_START || strcmp(name, "ram") != 0)
		return parse_refuse(fault, "does not begin with section \"ram\" (type %u, \"%s\")",
				    mark, name);
	if (version != RAM_VERSION)
		return parse_refuse(fault, "has section \"ram\" in version %" PRIu32 ", not %d",
				    version, RAM_VERSION);
	if ((word & FLAG_BITS) != FLAG_MEMORY_SIZE)
		return parse_refuse(fault, "has no list of RAM blocks");
	head->total = word & ~(uint64_t)FLAG_BITS;
	head->first = cursor->at;
	return 0;
}

int mapped_ram_parse_head(const void *bytes, size_t length, struct mapped_ram_head *ret_head,
			  struct parse_fault *fault)
{
	struct cursor cursor = {.bytes = bytes, .length = length};
	struct capabilities capabilities = {0};
	struct mapped_ram_head head = {0};
	const unsigned char *magic = take(&cursor, 4);
	uint32_t version = take_32(&cursor);
	int error;

	if (magic == NULL || memcmp(magic, "QEVM", 4) != 0)
		return parse_refuse(fault, "is no migration file of QEMU");
	if (!cursor.ended && version != STREAM_VERSION)
		return parse_refuse(fault, "is a migration of version %" PRIu32 ", not %d", version,
				    STREAM_VERSION);
	error = take_configuration(&cursor, &capabilities, fault);
	if (error != 0)
		return error;
	if (!cursor.ended && !capabilities.mapped_ram)
		return parse_refuse(fault, "was not written with the capability mapped-ram");
	error = take_section(&cursor, &head, fault);
	if (error != 0)
		return error;
	if (cursor.ended)
		return parse_refuse(fault, "is truncated: it ends before the first RAM block");
	head.ignore_shared = capabilities.ignore_shared;
	*ret_head = head;
	return 0;
}

static bool is_power_of_two(uint64_t number)
{
	return number != 0 && (number & (number - 1)) == 0;
}

/* `header_end` is where the block's header ends in the file. Everything of a
 * block lies behind that, so that a walk from block to block comes to an end. */
static int check_pages(struct mapped_ram_block *block, uint64_t header_end, uint64_t file_length,
		       struct parse_fault *fault)
{
	const uint64_t page = block->page_size;

	if (!is_power_of_two(page) || page < 1024 || page > 1u << 30)
		return parse_refuse(fault, "RAM block \"%s\" has pages of %" PRIu64 " bytes",
				    block->name, page);
	if (block->length == 0 || block->length % page != 0)
		return parse_refuse(fault,
				    "RAM block \"%s\" has %" PRIu64 " bytes, not in whole pages",
				    block->name, block->length);
	if (block->bitmap_offset < header_end || block->pages_offset < header_end)
		return parse_refuse(fault, "RAM block \"%s\" points backwards", block->name);
	block->bitmap_length = ((block->length / page - 1) / 64 + 1) * 8;
	if (block->bitmap_offset > file_length ||
	    block->bitmap_length > file_length - block->bitmap_offset)
		return parse_refuse(
			fault, "is truncated: the bitmap of RAM block \"%s\" lies past its end",
			block->name);
	if (__builtin_add_overflow(block->pages_offset, block->length, &block->next))
		return parse_refuse(fault, "the pages of RAM block \"%s\" lie past 2^64",
				    block->name);
	return 0;
}

int mapped_ram_parse_block(const struct mapped_ram_head *head, const void *bytes, size_t length,
			   uint64_t offset, uint64_t file_length,
			   struct mapped_ram_block *ret_block, struct parse_fault *fault)
{
	struct cursor cursor = {.bytes = bytes, .length = length};
	struct mapped_ram_block block = {
		.is_stored = true,
		.may_be_shared = head->ignore_shared,
	};
	uint32_t version;
	int error = 0;

	take_name(&cursor, block.name);
	block.length = take_number(&cursor, 8);
	if (head->ignore_shared)
		take_number(&cursor, 8);
	version = take_32(&cursor);
	block.page_size = take_number(&cursor, 8);
	block.bitmap_offset = take_number(&cursor, 8);
	block.pages_offset = take_number(&cursor, 8);
	block.next = offset + cursor.at;
	if (cursor.ended)
		return parse_refuse(fault, "is truncated: it ends in the header of a RAM block");
	if (version != HEADER_VERSION)
		return parse_refuse(fault,
				    "RAM block \"%s\" has a mapped-ram header of version %" PRIu32
				    ", not %d",
				    block.name, version, HEADER_VERSION);
	if (head->ignore_shared && block.bitmap_offset == 0 && block.pages_offset == 0)
		block.is_stored = false;
	else
		error = check_pages(&block, block.next, file_length, fault);
	if (error == 0)
		*ret_block = block;
	return error;
}

static bool is_set(const unsigned char *bitmap, uint64_t page)
{
	return (bitmap[page / 8] >> page % 8 & 1) != 0;
}

uint64_t mapped_ram_next_run(const struct mapped_ram_block *block, const void *bitmap,
			     uint64_t from, uint64_t *ret_first)
{
	const uint64_t pages = block->length / block->page_size;
	uint64_t first = from;
	uint64_t end;

	while (first < pages && !is_set(bitmap, first))
		first++;
	for (end = first; end < pages && is_set(bitmap, end);)
		end++;
	*ret_first = first;
	return end - first;
}
