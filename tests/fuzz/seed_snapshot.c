/* SPDX-License-Identifier: MIT
 *
 * seed_snapshot.c - small snapshots for a fuzzer to begin with: one for each
 * kind of chunk, one with everything, layers over their parents, and damaged
 * ones.
 *
 *   seed_snapshot DIRECTORY
 *
 * They are made without the library's writer, which would not write most of
 * what the format allows. Checksums, lengths and features are those that mending
 * puts in.
 */
#include "backing/codec.h"
#include "backing/snapshot_format.h"
#include "core/trace.h"
#include "tests/fuzz/seed_file.h"
#include "tests/fuzz/snapshot_bytes.h"
#include "tests/fuzz/snapshot_mend.h"

#include <stdlib.h>
#include <string.h>

#define MOST_CHUNKS 70
#define MOST_REGIONS 3
#define LARGEST ((size_t)16 * PAGE)

struct shape {
	const char *name;
	unsigned char identity;
	bool has_parent;
	bool has_trace;
	bool has_blobs;
	bool is_shared; /* all raw chunks are stored in one place */
	size_t cut;     /* bytes that the last page lacks */
	struct {
		enum lazymem_chunk_kind kind;
		uint32_t count;
	} chunks[MOST_CHUNKS]; /* up to a count of 0 */
	struct {
		uint64_t base, pages;
	} regions[MOST_REGIONS]; /* none: one, at 0 */
};

static const struct shape zero = {.name = "zero", .identity = 1, .chunks = {{KIND_ZERO, 5}}};
static const struct shape raw = {.name = "raw", .identity = 2, .chunks = {{KIND_RAW, 1}}};
static const struct shape lz4 = {.name = "lz4", .identity = 3, .chunks = {{KIND_LZ4, 4}}};
static const struct shape zstd = {.name = "zstd", .identity = 4, .chunks = {{KIND_ZSTD, 4}}};
static const struct shape large = {
	.name = "large",
	.identity = 5,
	.chunks = {{KIND_ZERO, UINT32_MAX}, {KIND_RAW, 1}, {KIND_ZERO, UINT32_MAX}},
};
static const struct shape wide = {
	.name = "wide",
	.identity = 10,
	.chunks = {{KIND_ZSTD, 16}, {KIND_LZ4, 64}, {KIND_LZ4, 1}},
};
static const struct shape all = {
	.name = "all",
	.identity = 6,
	.has_trace = true,
	.has_blobs = true,
	.cut = 100,
	.chunks = {{KIND_ZERO, 2}, {KIND_LZ4, 2}, {KIND_RAW, 1}, {KIND_ZSTD, 3}, {KIND_LZ4, 1}},
	.regions = {{0x100000000, 3}, {0, 2}, {0x200000000, 4}},
};
static const struct shape base = {
	.name = "base",
	.identity = 7,
	.chunks = {{KIND_LZ4, 4}, {KIND_ZSTD, 4}, {KIND_RAW, 4}, {KIND_ZERO, 4}},
};
static const struct shape layer = {
	.name = "layer",
	.identity = 8,
	.has_parent = true,
	.has_blobs = true,
	.chunks = {{KIND_PARENT, 2},
		   {KIND_ZSTD, 1},
		   {KIND_PARENT, 2},
		   {KIND_ZERO, 1},
		   {KIND_PARENT, 3},
		   {KIND_LZ4, 1},
		   {KIND_PARENT, 6}},
};
static const struct shape top = {
	.name = "top",
	.identity = 9,
	.has_parent = true,
	.has_trace = true,
	.chunks = {{KIND_PARENT, 1}, {KIND_RAW, 1}, {KIND_PARENT, 14}},
};

/* So many that they are searched in another way. */
static const struct shape many = {
	.name = "many",
	.identity = 11,
	.chunks = {[0 ... 34] = {KIND_LZ4, 1}, [35 ... 69] = {KIND_ZERO, 2}},
};
static const struct shape shared = {
	.name = "shared",
	.identity = 12,
	.is_shared = true,
	.chunks = {[0 ... 69] = {KIND_RAW, 1}},
};
static const struct shape over_many = {
	.name = "over-many",
	.identity = 13,
	.has_parent = true,
	.chunks = {{KIND_PARENT, 33}, {KIND_ZSTD, 1}, {KIND_PARENT, 71}},
};

static const struct shape *const singles[] = {
	&zero, &raw, &lz4, &zstd, &large, &wide, &all, &layer, &many, &shared,
};

/* ---- a file ------------------------------------------------------------------- */

struct building {
	uint8_t *bytes;
	size_t size; /* so far */
	struct lm_snapshot_header header;
};

static void align(struct building *building, size_t alignment)
{
	building->size = (building->size + alignment - 1) / alignment * alignment;
}

static uint8_t *append(struct building *building, const void *bytes, size_t length)
{
	uint8_t *to = building->bytes + building->size;

	memcpy(to, bytes, length);
	building->size += length;
	return to;
}

/* Pages that compress well, and are not alike. */
static void fill_pages(uint8_t *pages, const struct shape *shape, uint64_t page, uint32_t count)
{
	for (size_t i = 0; i < count * PAGE; i++)
		pages[i] = (uint8_t)(i % 64 == 0 ? page + i / PAGE + shape->identity : i % 7);
}

/* 0, or -1 when a build without this compression cannot. */
static int store_chunk(struct building *building, const struct shape *shape, struct lm_chunk *chunk)
{
	static struct lm_codec_context context;
	static uint8_t pages[64 * PAGE], stored[64 * PAGE];
	size_t length = 0;

	if (chunk->kind == KIND_ZERO || chunk->kind == KIND_PARENT)
		return 0;
	fill_pages(pages, shape, chunk->page, chunk->count);
	if (chunk->kind == KIND_RAW) {
		align(building, PAGE);
		chunk->position = building->size;
		if (shape->is_shared && chunk->page != 0) {
			chunk->position -= PAGE;
			return 0;
		}
		append(building, pages, chunk->count * PAGE);
		return 0;
	}
	if (lm_codec_compress(&context, (enum lazymem_chunk_kind)chunk->kind, 0, pages,
			      chunk->count * PAGE, stored, sizeof(stored), &length) != 0)
		return -1;
	chunk->position = building->size;
	chunk->stored = (uint32_t)length;
	append(building, stored, length);
	return 0;
}

static void add_section(struct building *building, enum lm_section_type type, const void *bytes,
			size_t length)
{
	align(building, 8);
	building->header.sections[type] =
		(struct lm_section){.present = true, .offset = building->size, .length = length};
	append(building, bytes, length);
}

static int add_chunks(struct building *building, const struct shape *shape)
{
	static const uint8_t no_sums[4 * 512];
	uint8_t section[MOST_CHUNKS * CHUNK_SIZE];
	uint32_t sums = 0;
	uint64_t page = 0;
	size_t count = 0;

	for (; count < MOST_CHUNKS && shape->chunks[count].count != 0; count++) {
		struct lm_chunk chunk = {
			.page = page,
			.count = shape->chunks[count].count,
			.kind = (uint8_t)shape->chunks[count].kind,
		};

		if (store_chunk(building, shape, &chunk) != 0)
			return -1;
		if (chunk.position != 0) {
			chunk.checksum = sums;
			sums += chunk.count;
		}
		lm_snapshot_put_chunk(&chunk, section + count * CHUNK_SIZE);
		page += chunk.count;
	}
	building->header.memory_length = page * PAGE - shape->cut;
	add_section(building, LM_SECTION_CHUNKS, section, count * CHUNK_SIZE);
	add_section(building, LM_SECTION_CHECKSUMS, no_sums, sums * sizeof(uint32_t));
	return 0;
}

static void add_regions(struct building *building, const struct shape *shape)
{
	uint8_t section[MOST_REGIONS * REGION_SIZE];
	struct lazymem_snapshot_region region = {
		.length = lm_snapshot_pages(building->header.memory_length) * PAGE,
	};
	size_t count = 0;

	for (; count < MOST_REGIONS && shape->regions[count].pages != 0; count++) {
		region.base.value = shape->regions[count].base;
		region.length = shape->regions[count].pages * PAGE;
		lm_snapshot_put_region(&region, section + count * REGION_SIZE);
	}
	if (count == 0)
		lm_snapshot_put_region(&region, section + count++ * REGION_SIZE);
	add_section(building, LM_SECTION_REGIONS, section, count * REGION_SIZE);
}

static void add_blobs(struct building *building)
{
	static const char text[] = "{\"vcpus\": 2}";
	struct lm_snapshot_blob blobs[2] = {
		{.name = "config.json", .length = sizeof(text)},
		{.name = "empty", .offset = PAGE},
	};
	uint8_t section[2 * BLOB_SIZE];

	blobs[0].offset = building->size;
	append(building, text, sizeof(text));
	for (size_t i = 0; i < 2; i++)
		lm_snapshot_put_blob(&blobs[i], section + i * BLOB_SIZE);
	add_section(building, LM_SECTION_BLOBS, section, sizeof(section));
}

/* Its identity is mended. */
static int add_trace(struct building *building)
{
	struct lazymem_trace *trace;
	void *bytes;
	size_t size;

	if (lazymem_trace_create(PAGE, &trace) != 0 ||
	    lazymem_trace_append(trace, (struct lazymem_guest_range){{0x3000}, 2 * PAGE}) != 0 ||
	    lazymem_trace_append(trace, (struct lazymem_guest_range){{0}, PAGE}) != 0 ||
	    lm_trace_serialise(trace, &bytes, &size) != 0)
		return -1;
	lazymem_trace_destroy(trace);
	add_section(building, LM_SECTION_TRACE, bytes, size);
	free(bytes);
	return 0;
}

/* Returns how long the file is; 0: it cannot be made. */
static size_t build(const struct shape *shape, uint8_t *bytes)
{
	struct building building = {.bytes = bytes, .size = PAGE};

	memset(bytes, 0, LARGEST);
	memset(&building.header.identity, shape->identity, sizeof(building.header.identity));
	if (add_chunks(&building, shape) != 0)
		return 0;
	add_regions(&building, shape);
	if (shape->has_blobs)
		add_blobs(&building);
	if (shape->has_trace && add_trace(&building) != 0)
		return 0;
	if (shape->has_parent) {
		building.header.features = LM_FEATURE_PARENT;
		memset(&building.header.parent, 0xee, sizeof(building.header.parent));
		add_section(&building, LM_SECTION_PARENT, "base.lzm", 8);
	}
	align(&building, PAGE);
	building.header.file_length = building.size;
	lm_snapshot_put_header(&building.header, bytes);
	return building.size;
}

/* ---- the corpus ----------------------------------------------------------------- */

/* Files over each other, the topmost first; mended together. */
static int save_stack(const char *directory, const char *name, const struct shape *const *shapes,
		      size_t count)
{
	static uint8_t bytes[3 * LARGEST];
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		const size_t length = build(shapes[i], bytes + size);

		if (length == 0) {
			fprintf(stderr, "seed_snapshot: %s: %s\n", shapes[i]->name,
				lazymem_error_message());
			return -1;
		}
		size += length;
	}
	mend_snapshots(bytes, size, ~0u);
	return write_seed(directory, name, bytes, size);
}

static int save_damaged(const char *directory)
{
	static const size_t places[] = {
		0, 8, 20, 24, 33, 41, 100, 256, 260, 264, 280, 4092, PAGE + 1, 3 * PAGE,
	};
	static uint8_t bytes[LARGEST];
	const size_t size = build(&all, bytes);
	char name[32];

	mend_snapshots(bytes, size, ~0u);
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		snprintf(name, sizeof(name), "damaged-%zu", places[i]);
		bytes[places[i]] ^= 0x81;
		if (write_seed(directory, name, bytes, size) != 0)
			return -1;
		bytes[places[i]] ^= 0x81;
	}
	return write_seed(directory, "cut", bytes, size - PAGE) != 0 ||
			       write_seed(directory, "cut-in-header", bytes, 4000) != 0
		       ? -1
		       : 0;
}

int main(int argc, char **argv)
{
	static const struct shape *const two[] = {&layer, &base};
	static const struct shape *const three[] = {&top, &layer, &base};
	static const struct shape *const index[] = {&over_many, &many};
	static const struct shape *const loop[] = {&layer, &layer};
	int error = 0;

	if (argc != 2) {
		fprintf(stderr, "usage: seed_snapshot DIRECTORY\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(singles) / sizeof(*singles) && error == 0; i++)
		error = save_stack(argv[1], singles[i]->name, &singles[i], 1);
	if (error != 0 || save_stack(argv[1], "two-layers", two, 2) != 0 ||
	    save_stack(argv[1], "three-layers", three, 3) != 0 ||
	    save_stack(argv[1], "merged-index", index, 2) != 0 ||
	    save_stack(argv[1], "loop", loop, 2) != 0 || save_damaged(argv[1]) != 0)
		return 1;
	return 0;
}
