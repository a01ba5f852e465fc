/* SPDX-License-Identifier: MIT
 *
 * layer_fixture.h - files of a stack in memory, with chunks of every kind that
 * the build has, at random, and the bytes that they stand for.
 */
#ifndef LAYER_FIXTURE_H
#define LAYER_FIXTURE_H

#include "backing/codec.h"
#include "backing/snapshot_format.h"
#include "core/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)

/* A stream of numbers; repeat one with LAZYMEM_TEST_SEED. */
static uint64_t random_state;

static inline uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static inline uint64_t random_below(uint64_t limit)
{
	return next_random() % limit;
}

static inline void seed_random(void)
{
	const char *given = getenv("LAZYMEM_TEST_SEED");
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	random_state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)now.tv_nsec;
	random_state = random_state * UINT64_C(0x9e3779b97f4a7c15) | 1;
	if (given == NULL)
		print_message("LAZYMEM_TEST_SEED=%llu\n", (unsigned long long)now.tv_nsec);
}

/* A file of a stack. */
struct layer {
	unsigned char *bytes;
	size_t length; /* whole pages */
	size_t capacity;
	struct lm_chunk *chunks; /* in the order of their pages */
	size_t chunk_count;
	uint32_t *sums;
	size_t sum_count;
};

static inline void layer_destroy(struct layer *layer)
{
	free(layer->bytes);
	free(layer->chunks);
	free(layer->sums);
}

/* Text that compresses, and tells which page it is of which layer. */
static inline void fill_page(unsigned char *page, uint64_t number, uint64_t version)
{
	char word[64];
	size_t length;

	length = (size_t)snprintf(word, sizeof(word), "page %llu of %llx. ",
				  (unsigned long long)number, (unsigned long long)version);
	for (size_t at = 0; at < PAGE; at += length)
		memcpy(page + at, word, length < PAGE - at ? length : PAGE - at);
}

/* Append to the file, at the next multiple of `alignment`; returns where. */
static inline uint64_t layer_store(struct layer *layer, const void *bytes, size_t length,
				   size_t alignment)
{
	const size_t position = (layer->length + alignment - 1) / alignment * alignment;

	if (position + length > layer->capacity) {
		layer->capacity = 2 * (position + length);
		layer->bytes = realloc(layer->bytes, layer->capacity);
		assert_non_null(layer->bytes);
	}
	memset(layer->bytes + layer->length, 0, position - layer->length);
	memcpy(layer->bytes + position, bytes, length);
	layer->length = position + length;
	return position;
}

/* Store the pages of a chunk, whose kind is a wish. */
static inline void layer_store_chunk(struct layer *layer, struct lm_chunk *chunk,
				     const unsigned char *memory)
{
	const unsigned char *pages = memory + chunk->page * PAGE;
	struct lm_codec_context codec = {0};
	unsigned char *room;
	size_t stored;

	if (chunk->kind == LAZYMEM_CHUNK_ZERO || chunk->kind == LAZYMEM_CHUNK_PARENT)
		return;
	layer->sums = realloc(layer->sums, (layer->sum_count + chunk->count) * sizeof(uint32_t));
	assert_non_null(layer->sums);
	chunk->checksum = (uint32_t)layer->sum_count;
	for (size_t i = 0; i < chunk->count; i++)
		layer->sums[layer->sum_count++] = lm_crc32c(0, pages + i * PAGE, PAGE);
	if (chunk->kind == LAZYMEM_CHUNK_RAW) {
		chunk->position = layer_store(layer, pages, chunk->count * PAGE, PAGE);
		return;
	}
	room = malloc(chunk->count * PAGE);
	assert_int_equal(lm_codec_compress(&codec, chunk->kind, 0, pages, chunk->count * PAGE, room,
					   chunk->count * PAGE - 1, &stored),
			 0);
	chunk->stored = (uint32_t)stored;
	chunk->position = layer_store(layer, room, stored, 1);
	lm_codec_context_destroy(&codec);
	free(room);
}

static inline enum lazymem_chunk_kind random_kind(bool has_parent)
{
	for (;;) {
		const enum lazymem_chunk_kind kind =
			(enum lazymem_chunk_kind)random_below(LAZYMEM_CHUNK_KINDS);

		if (kind == LAZYMEM_CHUNK_PARENT ? has_parent : lazymem_snapshot_supports(kind))
			return kind;
	}
}

/* What the pages of a chunk are from now on. */
static inline void apply_chunk(unsigned char *memory, const struct lm_chunk *chunk,
			       uint64_t version)
{
	for (uint64_t page = chunk->page; page < chunk->page + chunk->count; page++) {
		if (chunk->kind == LAZYMEM_CHUNK_ZERO)
			memset(memory + page * PAGE, 0, PAGE);
		else if (chunk->kind != LAZYMEM_CHUNK_PARENT)
			fill_page(memory + page * PAGE, page, version);
	}
}

/* The next chunk, of at most `longest` pages, at random. */
static inline void add_chunk(struct layer *layer, uint64_t page, uint64_t longest, bool has_parent)
{
	struct lm_chunk *chunk;

	layer->chunks = realloc(layer->chunks, (layer->chunk_count + 1) * sizeof(*layer->chunks));
	assert_non_null(layer->chunks);
	chunk = &layer->chunks[layer->chunk_count++];
	*chunk = (struct lm_chunk){.page = page};
	chunk->kind = (uint8_t)random_kind(has_parent);
	chunk->count = (uint32_t)(1 + random_below(longest < 9 ? longest : 9));
}

/* A file of `pages` pages at random. `memory` is that of the parent, when it
 * has one, and becomes that of the layer. What it stores begins behind room
 * for a header, in an order that is not that of the memory. */
static inline void layer_create(struct layer *layer, unsigned char *memory, uint64_t pages,
				bool has_parent)
{
	const uint64_t version = next_random() % 4096;
	unsigned char header[4096] = {0};
	size_t *order;

	*layer = (struct layer){0};
	layer_store(layer, header, sizeof(header), PAGE);
	for (uint64_t page = 0; page < pages;) {
		struct lm_chunk *chunk;

		add_chunk(layer, page, pages - page, has_parent);
		chunk = &layer->chunks[layer->chunk_count - 1];
		apply_chunk(memory, chunk, version);
		page += chunk->count;
	}
	order = calloc(layer->chunk_count, sizeof(*order));
	for (size_t i = 0; i < layer->chunk_count; i++) {
		const size_t place = random_below(3) == 0 ? random_below(i + 1) : i;

		order[i] = order[place];
		order[place] = i;
	}
	for (size_t i = 0; i < layer->chunk_count; i++) {
		if (random_below(8) == 0)
			layer_store(layer, header, random_below(4096), 1);
		layer_store_chunk(layer, &layer->chunks[order[i]], memory);
	}
	free(order);
	layer_store(layer, header, 0, PAGE);
}

#endif
