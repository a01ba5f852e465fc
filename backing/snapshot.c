/* SPDX-License-Identifier: MIT
 *
 * snapshot.c - what an open snapshot tells of itself.
 */
#include "backing/snapshot_object.h"
#include "core/crc32c.h"
#include "core/error.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct lazymem_snapshot *lazymem_snapshot_ref(struct lazymem_snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
	return snapshot;
}

void lazymem_snapshot_unref(struct lazymem_snapshot *snapshot)
{
	if (snapshot == NULL)
		return;
	if (atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) != 1)
		return;
	lazymem_backing_unref(snapshot->backing);
	free(snapshot);
}

struct lazymem_backing *lazymem_snapshot_backing(const struct lazymem_snapshot *snapshot)
{
	return snapshot->backing;
}

/* The file that was opened. */
static const struct lm_snapshot_file *top(const struct lazymem_snapshot *snapshot)
{
	return snapshot->files->files;
}

size_t lazymem_snapshot_region_count(const struct lazymem_snapshot *snapshot)
{
	return top(snapshot)->region_count;
}

struct lazymem_snapshot_region lazymem_snapshot_region_at(const struct lazymem_snapshot *snapshot,
							  size_t index)
{
	return top(snapshot)->regions[index];
}

const struct lazymem_trace *lazymem_snapshot_trace(const struct lazymem_snapshot *snapshot)
{
	return top(snapshot)->trace;
}

/* ---- blobs ------------------------------------------------------------------ */

size_t lazymem_snapshot_blob_count(const struct lazymem_snapshot *snapshot)
{
	return top(snapshot)->blob_count;
}

const char *lazymem_snapshot_blob_name(const struct lazymem_snapshot *snapshot, size_t index)
{
	return top(snapshot)->blobs[index].name;
}

uint64_t lazymem_snapshot_blob_length(const struct lazymem_snapshot *snapshot, size_t index)
{
	return top(snapshot)->blobs[index].length;
}

int lm_snapshot_read_blob(const struct lm_snapshot_file *file, const struct lm_snapshot_blob *blob,
			  void **ret_bytes)
{
	/* at least one byte, so that an empty blob is not taken for no memory */
	void *bytes = malloc(blob->length + (blob->length == 0));
	int error = 0;

	if (bytes == NULL)
		return lm_error(-ENOMEM, "%s: no memory for the %" PRIu64 " bytes of blob %s",
				file->path, blob->length, blob->name);
	if (blob->length != 0)
		error = lazymem_backing_read(file->backing, blob->offset, bytes, blob->length);
	if (error == 0 && lm_crc32c(0, bytes, blob->length) != blob->checksum)
		error = lm_error(-EBADMSG, "%s: blob %s: its checksum does not match its bytes",
				 file->path, blob->name);
	if (error != 0)
		free(bytes);
	else
		*ret_bytes = bytes;
	return error;
}

int lazymem_snapshot_blob(const struct lazymem_snapshot *snapshot, const char *name,
			  void **ret_bytes, size_t *ret_length)
{
	const struct lm_snapshot_file *file = top(snapshot);

	for (size_t i = 0; i < file->blob_count; i++) {
		int error;

		if (strcmp(file->blobs[i].name, name) != 0)
			continue;
		error = lm_snapshot_read_blob(file, &file->blobs[i], ret_bytes);
		if (error == 0)
			*ret_length = file->blobs[i].length;
		return error;
	}
	return lm_error(-ENOENT, "%s: it has no blob %s", file->path, name);
}

/* ---- layers ----------------------------------------------------------------- */

size_t lazymem_snapshot_layer_count(const struct lazymem_snapshot *snapshot)
{
	return snapshot->files->count;
}

int lazymem_snapshot_layer_at(const struct lazymem_snapshot *snapshot, size_t index,
			      struct lazymem_snapshot_layer *ret_layer)
{
	struct lazymem_snapshot_layer layer = {0};
	const struct lm_snapshot_file *file;

	if (index >= snapshot->files->count)
		return lm_error(-EINVAL, "%s: layer %zu of %zu", top(snapshot)->path, index,
				snapshot->files->count);
	file = &snapshot->files->files[index];
	layer.path = file->path;
	layer.identity = file->header.identity;
	layer.parent = file->header.parent;
	layer.parent_path = file->parent_path;
	layer.file_length = file->header.file_length;
	layer.chunk_count = file->chunk_count;
	for (size_t i = 0; i < file->chunk_count; i++) {
		const struct lm_chunk *chunk = &file->chunks[i];

		layer.pages[chunk->kind] += chunk->count;
		layer.stored[chunk->kind] += chunk->stored;
	}
	layer.stored[LAZYMEM_CHUNK_RAW] = layer.pages[LAZYMEM_CHUNK_RAW] * LM_SNAPSHOT_PAGE;
	return lm_options_return(&layer, sizeof(layer), ret_layer, "struct lazymem_snapshot_layer");
}
