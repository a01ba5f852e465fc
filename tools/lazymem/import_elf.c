/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "elf_core.h"
#include "pieces.h"
#include "source.h"

#include <lazymem/common.h>
#include <stdlib.h>

/* At most `limit` bytes from `offset` on; 0 when nothing is there. -1 after a
 * message. */
static ssize_t read_some(struct lazymem_backing *file, uint64_t offset, void *buffer, size_t limit)
{
	const uint64_t file_length = lazymem_backing_length(file);
	size_t length = limit;

	if (offset >= file_length)
		return 0;
	if (file_length - offset < length)
		length = (size_t)(file_length - offset);
	if (lazymem_backing_read(file, offset, buffer, length) == 0)
		return (ssize_t)length;
	complain("%s", lazymem_error_message());
	return -1;
}

static int parse_head(struct lazymem_backing *file, struct elf_core *ret_core,
		      struct parse_fault *fault)
{
	const uint64_t file_length = lazymem_backing_length(file);
	char bytes[ELF_CORE_HEADER_MAX];
	ssize_t length = read_some(file, 0, bytes, sizeof(bytes));
	int error;

	if (length < 0)
		return -1;
	error = elf_core_parse_header(bytes, (size_t)length, file_length, ret_core, fault);
	if (error == 0 && ret_core->count_in_section) {
		length = read_some(file, ret_core->section_offset, bytes, sizeof(bytes));
		if (length < 0)
			return -1;
		error = elf_core_parse_section(bytes, (size_t)length, file_length, ret_core, fault);
	}
	if (error == 0)
		return 0;
	complain("%s: %s", lazymem_backing_name(file), fault->text);
	return -1;
}

static int parse_segments(struct lazymem_backing *file, const struct elf_core *core,
			  struct elf_segment **ret_segments, size_t *ret_count,
			  struct parse_fault *fault)
{
	const size_t length = core->segment_count * core->entry_size;
	void *table = malloc(length);
	int result = -1;

	if (table == NULL) {
		complain("%s: no memory for %zu bytes of segment headers",
			 lazymem_backing_name(file), length);
		return -1;
	}
	if (lazymem_backing_read(file, core->table_offset, table, length) != 0)
		complain("%s", lazymem_error_message());
	else if (elf_core_parse_segments(core, table, lazymem_backing_length(file), ret_segments,
					 ret_count, fault) != 0)
		complain("%s: %s", lazymem_backing_name(file), fault->text);
	else
		result = 0;
	free(table);
	return result;
}

/* One region for each segment, one after the other in the object. */
static int lay_out(struct lazymem_backing *file, const struct elf_segment *segments, size_t count,
		   struct source *source)
{
	struct piece_list list = {0};
	uint64_t offset = 0;
	int error = 0;

	source->regions = calloc(count, sizeof(*source->regions));
	source->region_count = count;
	for (size_t i = 0; i < count && source->regions != NULL && error == 0; i++) {
		const struct elf_segment *segment = &segments[i];

		source->regions[i] = (struct lazymem_snapshot_region){
			.base = {segment->address},
			.length = segment->length,
			.offset = offset,
		};
		if (segment->stored > 0)
			error = piece_list_add(
				&list, (struct piece){offset, segment->stored, segment->offset});
		offset += segment->length;
	}
	if (source->regions == NULL || error != 0)
		complain("%s: no memory for %zu regions", lazymem_backing_name(file), count);
	else if (pieces_create(file, &list, offset, &source->backing) == 0)
		return 0;
	else
		complain("%s", lazymem_error_message());
	piece_list_free(&list);
	return -1;
}

int import_elf(struct lazymem_backing *file, struct source *source)
{
	struct parse_fault fault;
	struct elf_core core;
	struct elf_segment *segments;
	size_t count;
	int result;

	if (parse_head(file, &core, &fault) != 0 ||
	    parse_segments(file, &core, &segments, &count, &fault) != 0)
		return -1;
	result = lay_out(file, segments, count, source);
	free(segments);
	return result;
}
