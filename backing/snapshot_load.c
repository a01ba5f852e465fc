/* SPDX-License-Identifier: MIT
 *
 * snapshot_load.c - one file of a snapshot: what describes the memory is read
 * and checked, the memory itself is left where it is.
 *
 * A restore waits for this, so it is two reads one after the other: the header,
 * and the sections, which a writer puts side by side. Where they lie apart each
 * one is read for itself. Chunks and checksums stay in the memory that they were
 * read to, and are used there.
 */
#include "backing/snapshot_bytes.h"
#include "backing/snapshot_object.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Bytes between sections that are worth reading over. */
#define SECTION_GAPS ((uint64_t)64 << 10)

/* The message there is, with the file before it. */
static int name_file(const char *path, int error)
{
	return lm_error(error, "%s: %s", path, lazymem_error_message());
}

/* ---- sections ------------------------------------------------------------- */

/* Where the bytes of each section are in memory; NULL: there are none. */
struct section_bytes {
	void *of[LM_SECTION_TYPES];
};

/* Read `length` bytes at `offset` into memory that `file` keeps under `type`. */
static int read_section(const struct lm_snapshot_bytes *from, struct lm_snapshot_file *file,
			enum lm_section_type type, uint64_t offset, uint64_t length)
{
	file->sections[type] = lm_snapshot_bytes_take_memory(from, length);
	if (file->sections[type] == NULL)
		return lm_error(-ENOMEM, "no memory for %" PRIu64 " bytes of its index", length);
	return lm_snapshot_bytes_read(from, file->sections[type], length, offset);
}

/* The stretch of the file that holds all sections. False when it is not worth
 * reading as a whole. */
static bool find_stretch(const struct lm_snapshot_header *header, uint64_t *ret_start,
			 uint64_t *ret_length)
{
	uint64_t start = UINT64_MAX, end = 0, total = SECTION_GAPS;

	for (int type = 0; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &header->sections[type];

		if (section->length == 0)
			continue;
		start = lm_min(start, section->offset);
		if (section->offset + section->length > end)
			end = section->offset + section->length;
		if (!lm_add(total, section->length, &total))
			return false;
	}
	*ret_start = start;
	*ret_length = end - start;
	return end - start <= total;
}

static int read_sections(const struct lm_snapshot_bytes *from, struct lm_snapshot_file *file,
			 struct section_bytes *ret_bytes)
{
	uint64_t start = 0, length = 0;
	const bool is_one = find_stretch(&file->header, &start, &length);
	int error = lm_snapshot_bytes_check_holes(from, &file->header);

	if (error == 0 && is_one)
		error = read_section(from, file, 0, start, length);
	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++) {
		const struct lm_section *section = &file->header.sections[type];

		ret_bytes->of[type] = NULL;
		if (error != 0 || section->length == 0)
			continue;
		if (is_one) {
			ret_bytes->of[type] = (char *)file->sections[0] + (section->offset - start);
			continue;
		}
		error = read_section(from, file, type, section->offset, section->length);
		ret_bytes->of[type] = file->sections[type];
	}
	return error;
}

static int check_sections(const struct lm_snapshot_header *header,
			  const struct section_bytes *bytes)
{
	int error = 0;

	for (enum lm_section_type type = LM_SECTION_REGIONS; type < LM_SECTION_TYPES; type++)
		if (error == 0 && header->sections[type].present)
			error = lm_snapshot_check_section(header, type, bytes->of[type]);
	return error;
}

static int parse_trace(struct lm_snapshot_file *file, const void *bytes)
{
	const int error =
		lm_trace_parse(bytes, file->header.sections[LM_SECTION_TRACE].length, &file->trace);
	struct lazymem_identity bound;

	if (error != 0)
		return lm_error(error, "section trace: %s", lazymem_error_message());
	bound = lazymem_trace_identity(file->trace);
	if (!lm_identity_equal(&bound, &file->header.identity))
		return lm_error(-EBADMSG, "section trace: it is bound to another image");
	return 0;
}

static int parse_sections(struct lm_snapshot_file *file, const struct section_bytes *bytes)
{
	const struct lm_section *sections = file->header.sections;
	int error = lm_snapshot_parse_regions(&file->header, bytes->of[LM_SECTION_REGIONS],
					      &file->regions, &file->region_count);

	/* The chunks last of the two that are used in place: where a hostile file
	 * has them overlap, what was checked is not written to any more. */
	if (error == 0) {
		file->sums =
			lm_snapshot_parse_checksums(&file->header, bytes->of[LM_SECTION_CHECKSUMS]);
		error = lm_snapshot_parse_chunks(&file->header, bytes->of[LM_SECTION_CHUNKS],
						 &file->chunks, &file->chunk_count);
	}
	if (error == 0 && sections[LM_SECTION_PARENT].present)
		error = lm_snapshot_parse_parent(&file->header, bytes->of[LM_SECTION_PARENT],
						 &file->parent_path);
	if (error == 0 && sections[LM_SECTION_TRACE].present)
		error = parse_trace(file, bytes->of[LM_SECTION_TRACE]);
	if (error == 0 && sections[LM_SECTION_BLOBS].length != 0)
		error = lm_snapshot_parse_blobs(&file->header, bytes->of[LM_SECTION_BLOBS],
						&file->blobs, &file->blob_count);
	return error;
}

/* ---- the file --------------------------------------------------------------- */

static int load(const struct lm_snapshot_bytes *from, unsigned flags, struct lm_snapshot_file *file)
{
	unsigned char header[LM_SNAPSHOT_HEADER_SIZE];
	struct section_bytes bytes;
	int error;

	lm_snapshot_bytes_announce(from);
	error = lm_snapshot_bytes_read(from, header, sizeof(header), 0);
	if (error == 0)
		error = lm_snapshot_parse_header(header, lm_snapshot_bytes_extent(from, header),
						 &file->header);
	if (error == 0)
		error = read_sections(from, file, &bytes);
	if (error == 0)
		error = check_sections(&file->header, &bytes);
	if (error == 0)
		error = parse_sections(file, &bytes);
	if (error != 0)
		return error;
	return lm_snapshot_bytes_keep(from, file->path, flags, file->header.file_length,
				      &file->backing);
}

/* From `object`, by its name `path`; NULL: from the file at `path`. */
static int load_from(struct lazymem_backing *object, const char *path, unsigned flags,
		     struct lm_snapshot_file *ret_file)
{
	struct lm_snapshot_file file = {.path = strdup(path), .is_object = object != NULL};
	struct lm_snapshot_bytes from;
	int error;

	if (file.path == NULL)
		return lm_error(-ENOMEM, "%s: no memory", path);
	error = object != NULL ? lm_snapshot_bytes_of_object(object, &from)
			       : lm_snapshot_bytes_of_file(path, &from);
	if (error == 0) {
		file.device = from.device;
		file.inode = from.inode;
		error = load(&from, flags, &file);
		lm_snapshot_bytes_close(&from);
	}
	if (error != 0) {
		error = name_file(path, error);
		lm_snapshot_unload(&file);
		return error;
	}
	*ret_file = file;
	return 0;
}

int lm_snapshot_load(const char *path, unsigned flags, struct lm_snapshot_file *ret_file)
{
	return load_from(NULL, path, flags, ret_file);
}

int lm_snapshot_load_object(struct lazymem_backing *object, struct lm_snapshot_file *ret_file)
{
	return load_from(object, lazymem_backing_name(object), 0, ret_file);
}

void lm_snapshot_unload(struct lm_snapshot_file *file)
{
	lazymem_backing_unref(file->backing);
	lazymem_trace_destroy(file->trace);
	for (int type = 0; type < LM_SECTION_TYPES; type++)
		free(file->sections[type]);
	free(file->blobs);
	free(file->parent_path);
	free(file->regions);
	free(file->path);
}
