/* SPDX-License-Identifier: MIT
 *
 * mapped_ram.c - libFuzzer harness for the parsers of migration files of QEMU.
 *
 * The input is a file, whose blocks are walked as the importer does it, to the
 * last one and not to one of a certain name. The walk must come to an end, and
 * every run of pages must be what the bitmap says, bit by bit.
 */
#include "tools/lazymem/mapped_ram.h"

#include "core/checked.h"
#include "tests/fuzz/require.h"

#include <errno.h>
#include <string.h>

/* As much of the file as the parser is given, in memory that ends there. */
static void *copy_of(const uint8_t *bytes, size_t size, uint64_t offset, size_t most,
		     size_t *ret_length)
{
	const size_t length = offset < size ? (size_t)lm_min(most, size - offset) : 0;
	void *copy = malloc(length);

	REQUIRE(copy != NULL);
	if (length > 0)
		memcpy(copy, bytes + offset, length);
	*ret_length = length;
	return copy;
}

static void require_refusal(int error, const struct parse_fault *fault)
{
	REQUIRE(error == -EBADMSG);
	REQUIRE(fault->text[0] != '\0');
}

static bool is_set(const uint8_t *bitmap, uint64_t page)
{
	return (bitmap[page / 8] & (1u << page % 8)) != 0;
}

/* The runs are the set bits, no more and no less. */
static void require_runs(const struct mapped_ram_block *block, const uint8_t *bitmap)
{
	const uint64_t pages = block->length / block->page_size;
	uint64_t at = 0, first, count;

	while ((count = mapped_ram_next_run(block, bitmap, at, &first)) > 0) {
		REQUIRE(first >= at && lm_fits(first, count, pages));
		for (; at < first; at++)
			REQUIRE(!is_set(bitmap, at));
		for (; at < first + count; at++)
			REQUIRE(is_set(bitmap, at));
	}
	for (; at < pages; at++)
		REQUIRE(!is_set(bitmap, at));
}

static void require_block(const struct mapped_ram_block *block, const uint8_t *bytes, size_t size)
{
	const uint64_t pages = block->length / block->page_size;
	size_t length;
	void *bitmap;

	REQUIRE(lm_is_power_of_two(block->page_size));
	REQUIRE(block->length > 0 && block->length % block->page_size == 0);
	REQUIRE(block->bitmap_length >= pages / 8 + (pages % 8 != 0));
	REQUIRE(lm_fits(block->bitmap_offset, block->bitmap_length, size));
	REQUIRE(block->length <= UINT64_MAX - block->pages_offset);
	REQUIRE(block->next == block->pages_offset + block->length);
	bitmap = copy_of(bytes, size, block->bitmap_offset, block->bitmap_length, &length);
	require_runs(block, bitmap);
	free(bitmap);
}

/* Returns whether there is a block at `at`. */
static bool parse_block(const struct mapped_ram_head *head, const uint8_t *bytes, size_t size,
			uint64_t at, struct mapped_ram_block *block)
{
	struct parse_fault fault = {""};
	size_t length;
	void *copy = copy_of(bytes, size, at, MAPPED_RAM_BLOCK_MAX, &length);
	const int error = mapped_ram_parse_block(head, copy, length, at, size, block, &fault);

	free(copy);
	if (error != 0) {
		require_refusal(error, &fault);
		return false;
	}
	REQUIRE(memchr(block->name, '\0', sizeof(block->name)) != NULL);
	REQUIRE(block->next > at);
	if (block->is_stored)
		require_block(block, bytes, size);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct parse_fault fault = {""};
	struct mapped_ram_head head;
	struct mapped_ram_block block;
	size_t length;
	void *copy = copy_of(bytes, size, 0, MAPPED_RAM_HEAD_MAX, &length);
	const int error = mapped_ram_parse_head(copy, length, &head, &fault);

	free(copy);
	if (error != 0) {
		require_refusal(error, &fault);
		return 0;
	}
	REQUIRE(head.first <= size);
	for (uint64_t at = head.first, left = head.total; left > 0; left -= block.length) {
		if (!parse_block(&head, bytes, size, at, &block) || block.length > left)
			break;
		at = block.next;
	}
	return 0;
}
