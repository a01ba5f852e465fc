/* SPDX-License-Identifier: MIT
 *
 * snapshot_fixture.h - snapshot files made by hand, so that a test can have
 * any of their bytes wrong and the checksums right all the same.
 */
#ifndef SNAPSHOT_FIXTURE_H
#define SNAPSHOT_FIXTURE_H

#include "core/trace.h"
#include "layer_fixture.h"
#include "sample.h"

#include <errno.h>
#include <lazymem/common.h>

#define PAGES 64

/* What a file is made of. The sections are written from these bytes, whose
 * checksums are right whatever they say. */
struct draft {
	struct layer layer;
	uint64_t memory_length;
	struct lazymem_identity identity;
	struct lazymem_identity parent;
	uint64_t features;
	uint64_t file_length; /* 0: what it is */
	unsigned char *sections[LM_SECTION_TYPES];
	size_t lengths[LM_SECTION_TYPES];
	bool present[LM_SECTION_TYPES];
	size_t apart; /* bytes between two sections */
};

static char *directory;

static inline char *path_of(const char *name)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
	return path;
}

static inline struct lazymem_identity identity_of(unsigned char number)
{
	struct lazymem_identity identity;

	memset(identity.bytes, number, sizeof(identity.bytes));
	return identity;
}

static inline void draft_section(struct draft *draft, enum lm_section_type type, const void *bytes,
				 size_t length)
{
	free(draft->sections[type]);
	draft->sections[type] = calloc(1, length + 1);
	memcpy(draft->sections[type], bytes, length);
	draft->lengths[type] = length;
	draft->present[type] = true;
}

static inline void draft_chunks(struct draft *draft)
{
	const struct layer *layer = &draft->layer;
	unsigned char *bytes = calloc(layer->chunk_count, sizeof(struct lm_chunk));

	for (size_t i = 0; i < layer->chunk_count; i++) {
		lm_snapshot_put_chunk(&layer->chunks[i], bytes + i * sizeof(struct lm_chunk));
		if (layer->chunks[i].kind == LAZYMEM_CHUNK_LZ4)
			draft->features |= LM_FEATURE_LZ4;
		if (layer->chunks[i].kind == LAZYMEM_CHUNK_ZSTD)
			draft->features |= LM_FEATURE_ZSTD;
	}
	draft_section(draft, LM_SECTION_CHUNKS, bytes,
		      layer->chunk_count * sizeof(struct lm_chunk));
	draft_section(draft, LM_SECTION_CHECKSUMS, layer->sums,
		      layer->sum_count * sizeof(uint32_t));
	free(bytes);
}

static inline void draft_regions(struct draft *draft, const struct lazymem_snapshot_region *regions,
				 size_t count)
{
	unsigned char *bytes = calloc(count, LM_REGION_BYTES);

	for (size_t i = 0; i < count; i++)
		lm_snapshot_put_region(&regions[i], bytes + i * LM_REGION_BYTES);
	draft_section(draft, LM_SECTION_REGIONS, bytes, count * LM_REGION_BYTES);
	free(bytes);
}

/* A file at random, of identity `number`; over a parent of identity `parent`
 * unless that is 0. `memory` as for layer_create. */
static inline void draft_begin(struct draft *draft, unsigned char *memory, unsigned char number,
			       unsigned char parent, const char *parent_path)
{
	const struct lazymem_snapshot_region region = {.base = {UINT64_C(1) << 32},
						       .length = PAGES * PAGE};

	*draft = (struct draft){.memory_length = PAGES * PAGE, .identity = identity_of(number)};
	layer_create(&draft->layer, memory, PAGES, parent != 0);
	draft_regions(draft, &region, 1);
	draft_chunks(draft);
	if (parent == 0)
		return;
	draft->parent = identity_of(parent);
	draft->features |= LM_FEATURE_PARENT;
	draft_section(draft, LM_SECTION_PARENT, parent_path, strlen(parent_path));
}

static inline void draft_blob(struct draft *draft, const char *name, const void *bytes,
			      size_t length)
{
	struct lm_snapshot_blob blob = {.length = length, .checksum = lm_crc32c(0, bytes, length)};
	const size_t before = draft->lengths[LM_SECTION_BLOBS];
	unsigned char *directory_bytes = calloc(1, before + LM_BLOB_BYTES);

	strcpy(blob.name, name);
	blob.offset = layer_store(&draft->layer, bytes, length, 1);
	if (before != 0)
		memcpy(directory_bytes, draft->sections[LM_SECTION_BLOBS], before);
	lm_snapshot_put_blob(&blob, directory_bytes + before);
	draft_section(draft, LM_SECTION_BLOBS, directory_bytes, before + LM_BLOB_BYTES);
	free(directory_bytes);
}

static inline void draft_trace(struct draft *draft, const struct lazymem_identity *bound)
{
	struct lazymem_trace *trace;
	void *bytes;
	size_t size;

	assert_int_equal(lazymem_trace_create(PAGE, &trace), 0);
	assert_int_equal(lazymem_trace_append(
				 trace, (struct lazymem_guest_range){{UINT64_C(1) << 32}, PAGE}),
			 0);
	lazymem_trace_bind(trace, bound);
	assert_int_equal(lm_trace_serialise(trace, &bytes, &size), 0);
	draft_section(draft, LM_SECTION_TRACE, bytes, size);
	free(bytes);
	lazymem_trace_destroy(trace);
}

/* Write the file, and forget the draft. */
static inline void draft_write(struct draft *draft, const char *path)
{
	struct lm_snapshot_header header = {
		.features = draft->features,
		.memory_length = draft->memory_length,
		.identity = draft->identity,
		.parent = draft->parent,
	};
	struct layer *layer = &draft->layer;
	int fd;

	for (int type = 1; type < LM_SECTION_TYPES; type++) {
		struct lm_section *section = &header.sections[type];

		if (!draft->present[type])
			continue;
		layer_store(layer, "", 0, 8);
		for (size_t i = 0; i < draft->apart; i++)
			layer_store(layer, "", 1, 1);
		section->present = true;
		section->offset =
			layer_store(layer, draft->sections[type], draft->lengths[type], 8);
		section->length = draft->lengths[type];
		section->checksum = lm_crc32c(0, draft->sections[type], draft->lengths[type]);
	}
	layer_store(layer, "", 0, PAGE);
	header.file_length = draft->file_length != 0 ? draft->file_length : layer->length;
	lm_snapshot_put_header(&header, layer->bytes);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, layer->bytes, layer->length), layer->length);
	close(fd);
	for (int type = 0; type < LM_SECTION_TYPES; type++)
		free(draft->sections[type]);
	layer_destroy(layer);
}

static inline int make_directory(void **state)
{
	(void)state;
	directory = sample_make_directory();
	return 0;
}

static inline int remove_directory(void **state)
{
	(void)state;
	sample_remove_directory(directory);
	return 0;
}

#endif
