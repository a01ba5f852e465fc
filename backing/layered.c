/* SPDX-License-Identifier: MIT
 *
 * layered.c - raw images one over the other.
 *
 * Each layer is asked for its extents once. They become a list of chunks, raw
 * where the layer has data and PARENT where it has a hole, and the lists are
 * flattened like those of a stack of snapshots. They count in bytes: a hole may
 * begin and end anywhere, and a page that is half data in one layer and half in
 * another must be served from both, for the zeros that a read of the hole would
 * give are not its content.
 */
#include <lazymem/layered.h>

#include "backing/file_object.h"
#include "backing/stack.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define CHUNK_LIMIT (UINT64_C(1) << 31) /* bytes that one chunk counts */

/* A layer's chunks while they are collected. */
struct layer {
	struct lm_chunk *chunks;
	size_t count;
	size_t capacity;
};

struct layered {
	struct lm_stack_source *sources; /* the topmost first */
	size_t count;
	struct layer *layers; /* likewise */
};

static void free_layers(struct layered *layered)
{
	for (size_t i = 0; layered->layers != NULL && i < layered->count; i++)
		free(layered->layers[i].chunks);
	free(layered->layers);
	layered->layers = NULL;
}

static void release(void *owner)
{
	struct layered *layered = owner;

	free_layers(layered);
	for (size_t i = 0; layered->sources != NULL && i < layered->count; i++)
		lazymem_backing_unref(layered->sources[i].file);
	free(layered->sources);
	free(layered);
}

static int add_chunk(struct layer *layer, const struct lm_chunk *chunk)
{
	if (layer->count == layer->capacity) {
		const size_t capacity = layer->capacity == 0 ? 16 : 2 * layer->capacity;
		struct lm_chunk *chunks =
			reallocarray(layer->chunks, capacity, sizeof(*layer->chunks));

		if (chunks == NULL)
			return lm_error(-ENOMEM, "no memory for %zu extents", capacity);
		layer->chunks = chunks;
		layer->capacity = capacity;
	}
	layer->chunks[layer->count++] = *chunk;
	return 0;
}

/* Add an extent of layer `number`; `hole` is the kind of chunk that is not data. */
static int add_extent(struct layer *layer, const struct lazymem_extent *extent, size_t number,
		      enum lazymem_chunk_kind hole)
{
	const bool is_data = extent->kind == LAZYMEM_EXTENT_DATA;
	int error = 0;

	for (uint64_t done = 0; error == 0 && done < extent->length;) {
		const uint64_t count = lm_min(extent->length - done, CHUNK_LIMIT);
		const struct lm_chunk chunk = {
			.page = extent->start + done,
			.count = (uint32_t)count,
			.kind = (uint8_t)(is_data ? LAZYMEM_CHUNK_RAW : hole),
			.layer = (uint16_t)number,
			.position = is_data ? extent->start + done : 0,
		};

		error = add_chunk(layer, &chunk);
		done += count;
	}
	return error;
}

/* Ask layer `number` for all of its extents. */
static int collect(struct layered *layered, size_t number)
{
	const bool is_base = number == layered->count - 1;
	const enum lazymem_chunk_kind hole = is_base ? LAZYMEM_CHUNK_ZERO : LAZYMEM_CHUNK_PARENT;
	struct lm_stack_source *source = &layered->sources[number];
	struct layer *layer = &layered->layers[number];
	const uint64_t length = lazymem_backing_length(source->file);
	int error = 0;

	for (uint64_t at = 0; error == 0 && at < length;) {
		struct lazymem_extent extent;

		error = lazymem_backing_extent(source->file, at, length - at, &extent);
		if (error != 0)
			return error;
		error = add_extent(layer, &extent, number, hole);
		at += extent.length;
	}
	source->chunks = layer->chunks;
	source->chunk_count = layer->count;
	return error;
}

/* A diff is known by its holes; where these are coarse, zeros that are none of
 * the guest's would hide what lies below. */
static int check_diff(const struct lazymem_backing *diff)
{
	if (!lm_file_has_coarse_holes(diff))
		return 0;
	return lm_error(-EOPNOTSUPP,
			"%s cannot be a diff: its file system has no holes of single pages",
			lazymem_backing_name(diff));
}

static int check_layers(struct lazymem_backing *const *layers, size_t count)
{
	int error = 0;

	if (layers == NULL || count == 0)
		return lm_error(-EINVAL, "no layers");
	if (count > LM_STACK_SOURCES)
		return lm_error(-EINVAL, "%zu layers, more than %d", count, LM_STACK_SOURCES);
	for (size_t i = 0; i < count; i++) {
		if (layers[i] == NULL)
			return lm_error(-EINVAL, "layer %zu is no backing object", i);
		if (lazymem_backing_length(layers[i]) != lazymem_backing_length(layers[0]))
			return lm_error(
				-EINVAL, "%s has %" PRIu64 " bytes, but %s over it has %" PRIu64,
				lazymem_backing_name(layers[0]), lazymem_backing_length(layers[0]),
				lazymem_backing_name(layers[i]), lazymem_backing_length(layers[i]));
		if (error == 0 && i > 0)
			error = check_diff(layers[i]);
	}
	return error;
}

/* What the whole is known by: made of what the layers are known by. False when
 * one of them cannot tell. */
static bool find_identity(const struct layered *layered, struct lazymem_identity *ret_identity)
{
	*ret_identity = (struct lazymem_identity){0};
	for (size_t i = 0; i < layered->count; i++) {
		struct lazymem_identity layer;

		if (lazymem_backing_identity(layered->sources[i].file, &layer) != 0)
			return false;
		lm_identity_fold(ret_identity, &layer);
	}
	return true;
}

static struct layered *create(struct lazymem_backing *const *layers, size_t count)
{
	struct layered *layered = calloc(1, sizeof(*layered));

	if (layered == NULL)
		return NULL;
	layered->count = count;
	layered->sources = calloc(count, sizeof(*layered->sources));
	layered->layers = calloc(count, sizeof(*layered->layers));
	if (layered->sources == NULL || layered->layers == NULL) {
		release(layered);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		layered->sources[i].file = lazymem_backing_ref(layers[count - 1 - i]);
	return layered;
}

static int publish(struct layered *layered, struct lazymem_backing **ret_backing)
{
	struct lazymem_identity identity;
	struct lm_stack_plan plan = {
		.sources = layered->sources,
		.source_count = layered->count,
		.length = lazymem_backing_length(layered->sources->file),
		.name = lazymem_backing_name(layered->sources->file),
		.identity = find_identity(layered, &identity) ? &identity : NULL,
		.release = release,
		.owner = layered,
	};
	int error;

	error = lm_stack_flatten(plan.sources, plan.source_count, 0, &plan.index,
				 &plan.index_count);
	if (error != 0)
		return error;
	error = lm_stack_create(&plan, ret_backing);
	if (error != 0)
		free(plan.index);
	return error;
}

int lazymem_layered_create(struct lazymem_backing *const *layers, size_t count,
			   struct lazymem_backing **ret_backing)
{
	struct layered *layered;
	int error = check_layers(layers, count);

	if (error != 0)
		return error;
	layered = create(layers, count);
	if (layered == NULL)
		return lm_error(-ENOMEM, "no memory for %zu layers", count);
	for (size_t i = 0; error == 0 && i < count; i++)
		error = collect(layered, i);
	if (error == 0)
		error = publish(layered, ret_backing);
	if (error != 0)
		release(layered);
	else
		free_layers(layered);
	return error;
}
