/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_sections.c - blobs, and the sections that describe a
 * snapshot. They come after the pages, since only then the index is known, and
 * nothing of them is put together in memory first but what is small: a
 * section's length and checksum grow while it is put.
 */
#include "backing/snapshot_write_sections.h"

#include "core/crc32c.h"
#include "core/error.h"
#include "core/little_endian.h"
#include "core/trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A section that is being put. */
struct section_output {
	struct lm_write_output *output;
	struct lm_section *section;
};

static int begin(struct lm_write_output *output, struct lm_snapshot_header *header,
		 enum lm_section_type type, struct section_output *ret_section)
{
	const int error = lm_output_align(output, 8);

	if (error != 0)
		return error;
	header->sections[type] = (struct lm_section){
		.present = true,
		.offset = lm_output_position(output),
	};
	*ret_section = (struct section_output){output, &header->sections[type]};
	return 0;
}

static int put(struct section_output *to, const void *bytes, size_t length)
{
	to->section->checksum = lm_crc32c(to->section->checksum, bytes, length);
	to->section->length += length;
	return lm_output_put(to->output, bytes, length);
}

static int put_regions(const struct lm_write_plan *plan, struct lm_write_output *output,
		       struct lm_snapshot_header *header)
{
	struct section_output to;
	int error = begin(output, header, LM_SECTION_REGIONS, &to);

	for (size_t i = 0; i < plan->region_count && error == 0; i++) {
		unsigned char bytes[LM_REGION_BYTES];

		lm_snapshot_put_region(&plan->regions[i], bytes);
		error = put(&to, bytes, sizeof(bytes));
	}
	return error;
}

static int put_chunks(const struct lm_write_index *index, struct lm_write_output *output,
		      struct lm_snapshot_header *header)
{
	struct lm_write_cursor cursor = {0};
	struct section_output to;
	struct lm_chunk chunk;
	int error = begin(output, header, LM_SECTION_CHUNKS, &to);

	while (error == 0 && lm_write_index_next(index, &cursor, &chunk)) {
		unsigned char bytes[sizeof(chunk)];

		lm_snapshot_put_chunk(&chunk, bytes);
		error = put(&to, bytes, sizeof(bytes));
	}
	return error;
}

static int put_checksums(const struct lm_write_index *index, struct lm_write_output *output,
			 struct lm_snapshot_header *header)
{
	struct section_output to;
	int error = begin(output, header, LM_SECTION_CHECKSUMS, &to);

	for (size_t i = 0; i < index->checksum_count && error == 0;) {
		unsigned char bytes[4096];
		size_t used = 0;

		for (; used < sizeof(bytes) && i < index->checksum_count; i++, used += 4)
			lm_put_u32(bytes + used, index->checksums[i]);
		error = put(&to, bytes, used);
	}
	return error;
}

static int put_parent(const struct lm_write_plan *plan, struct lm_write_output *output,
		      struct lm_snapshot_header *header)
{
	struct section_output to;
	int error;

	if (plan->parent == NULL)
		return 0;
	header->features |= LM_FEATURE_PARENT;
	header->parent = plan->parent_identity;
	error = begin(output, header, LM_SECTION_PARENT, &to);
	if (error != 0)
		return error;
	return put(&to, plan->asked.parent_path, strlen(plan->asked.parent_path));
}

static int put_trace(const struct lm_write_plan *plan, const struct lm_write_order *order,
		     struct lm_write_output *output, struct lm_snapshot_header *header)
{
	struct section_output to;
	void *bytes = NULL;
	size_t size = 0;
	int error;

	if (order->trace == NULL)
		return 0;
	error = lm_trace_serialise(order->trace, &bytes, &size);
	if (error != 0)
		return lm_write_failed(plan, error);
	error = begin(output, header, LM_SECTION_TRACE, &to);
	if (error == 0)
		error = put(&to, bytes, size);
	free(bytes);
	return error;
}

/* The bytes of all blobs, and then where they are. */
static int put_blobs(const struct lm_write_plan *plan, struct lm_write_output *output,
		     struct lm_snapshot_header *header)
{
	const struct lazymem_snapshot_blob_source *blobs = plan->asked.blobs;
	const size_t count = plan->asked.blob_count;
	unsigned char *directory;
	struct section_output to;
	int error = 0;

	if (count == 0)
		return 0;
	directory = calloc(count, LM_BLOB_BYTES);
	if (directory == NULL)
		return lm_write_failed(plan, lm_error(-ENOMEM, "no memory for %zu blobs", count));
	for (size_t i = 0; i < count && error == 0; i++) {
		struct lm_snapshot_blob blob = {
			.offset = lm_output_position(output),
			.length = blobs[i].length,
			.checksum = lm_crc32c(0, blobs[i].bytes, blobs[i].length),
		};

		memcpy(blob.name, blobs[i].name, strlen(blobs[i].name));
		lm_snapshot_put_blob(&blob, directory + i * LM_BLOB_BYTES);
		error = lm_output_put(output, blobs[i].bytes, blobs[i].length);
	}
	if (error == 0)
		error = begin(output, header, LM_SECTION_BLOBS, &to);
	if (error == 0)
		error = put(&to, directory, count * LM_BLOB_BYTES);
	free(directory);
	return error;
}

int lm_write_sections(const struct lm_write_plan *plan, const struct lm_write_order *order,
		      const struct lm_write_index *index, struct lm_write_output *output,
		      struct lm_snapshot_header *ret_header)
{
	struct lm_snapshot_header header = {
		.features = index->features,
		.memory_length = lazymem_backing_length(plan->asked.source),
		.identity = plan->identity,
	};
	int error = put_blobs(plan, output, &header);

	if (error == 0)
		error = put_regions(plan, output, &header);
	if (error == 0)
		error = put_chunks(index, output, &header);
	if (error == 0)
		error = put_checksums(index, output, &header);
	if (error == 0)
		error = put_parent(plan, output, &header);
	if (error == 0)
		error = put_trace(plan, order, output, &header);
	if (error == 0)
		error = lm_output_align(output, LM_SNAPSHOT_PAGE);
	if (error == 0)
		error = lm_output_flush(output);
	if (error != 0)
		return error;
	header.file_length = lm_output_position(output);
	*ret_header = header;
	return 0;
}
