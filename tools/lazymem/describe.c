/* SPDX-License-Identifier: MIT */
#include "describe.h"
#include "format.h"
#include "traces.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define PAGE UINT64_C(4096)

void describe_line(const char *what, const char *format, ...)
{
	va_list arguments;

	printf("%-14s", what);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

void describe_bytes(const char *what, uint64_t bytes)
{
	describe_line(what, "%s (%" PRIu64 " bytes)", format_bytes((double)bytes).text, bytes);
}

void describe_identity(const char *what, const struct lazymem_identity *identity)
{
	describe_line(what, "%s",
		      identity_is_none(identity) ? "none" : identity_format(identity).text);
}

void describe_identity_json(const char *key, const struct lazymem_identity *identity,
			    struct json *json)
{
	if (identity_is_none(identity))
		json_null(json, key);
	else
		json_string(json, key, identity_format(identity).text);
}

/* ---- traces --------------------------------------------------------------------- */

void describe_trace(const struct lazymem_trace *trace)
{
	const struct lazymem_identity identity = lazymem_trace_identity(trace);

	describe_bytes("touched", lazymem_trace_length(trace));
	describe_line("ranges", "%zu", lazymem_trace_count(trace));
	describe_line("page size", "%zu", lazymem_trace_page_size(trace));
	describe_identity("bound to", &identity);
}

void describe_trace_json(const struct lazymem_trace *trace, struct json *json)
{
	const struct lazymem_identity identity = lazymem_trace_identity(trace);

	json_number(json, "touched_bytes", lazymem_trace_length(trace));
	json_number(json, "ranges", lazymem_trace_count(trace));
	json_number(json, "page_size", lazymem_trace_page_size(trace));
	describe_identity_json("bound_to", &identity, json);
}

/* ---- overlays ------------------------------------------------------------------- */

void describe_overlay(const struct lazymem_overlay_description *overlay)
{
	describe_bytes("memory", overlay->length);
	describe_identity("base", &overlay->base);
	describe_bytes("written", overlay->written);
	describe_bytes("discarded", overlay->discarded);
	describe_bytes("file", overlay->file_length);
}

void describe_overlay_json(const struct lazymem_overlay_description *overlay, struct json *json)
{
	json_number(json, "memory_bytes", overlay->length);
	describe_identity_json("base", &overlay->base, json);
	json_number(json, "written_bytes", overlay->written);
	json_number(json, "discarded_bytes", overlay->discarded);
	json_number(json, "file_bytes", overlay->file_length);
}

/* ---- regions -------------------------------------------------------------------- */

void describe_regions(const struct lazymem_snapshot_region *regions, size_t count)
{
	for (size_t i = 0; i < count; i++)
		describe_line(i == 0 ? "regions" : "", "[0x%" PRIx64 "+0x%" PRIx64 "] %s",
			      regions[i].base.value, regions[i].length,
			      format_bytes((double)regions[i].length).text);
}

void describe_regions_json(const struct lazymem_snapshot_region *regions, size_t count,
			   struct json *json)
{
	json_open(json, "regions", '[');
	for (size_t i = 0; i < count; i++) {
		json_open(json, NULL, '{');
		json_number(json, "address", regions[i].base.value);
		json_number(json, "length", regions[i].length);
		json_number(json, "offset", regions[i].offset);
		json_close(json, '}');
	}
	json_close(json, ']');
}

/* ---- snapshots ------------------------------------------------------------------ */

static const char *const kind_names[LAZYMEM_CHUNK_KINDS] = {
	[LAZYMEM_CHUNK_ZERO] = "zero", [LAZYMEM_CHUNK_PARENT] = "parent",
	[LAZYMEM_CHUNK_RAW] = "raw",   [LAZYMEM_CHUNK_LZ4] = "lz4",
	[LAZYMEM_CHUNK_ZSTD] = "zstd",
};

/* What a file stores, and what that is as memory. */
struct ratio {
	uint64_t data;
	uint64_t stored;
};

static struct ratio ratio_of(const struct lazymem_snapshot_layer *layer)
{
	struct ratio ratio = {0, 0};

	for (unsigned kind = LAZYMEM_CHUNK_RAW; kind < LAZYMEM_CHUNK_KINDS; kind++) {
		ratio.data += layer->pages[kind] * PAGE;
		ratio.stored += layer->stored[kind];
	}
	return ratio;
}

static struct lazymem_snapshot_layer layer_at(const struct lazymem_snapshot *snapshot, size_t index)
{
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};

	if (lazymem_snapshot_layer_at(snapshot, index, &layer) != 0)
		return (struct lazymem_snapshot_layer){.path = ""};
	return layer;
}

static void describe_layer(const struct lazymem_snapshot_layer *layer, size_t index)
{
	const struct ratio ratio = ratio_of(layer);

	printf("\nlayer %zu: %s\n", index, layer->path);
	describe_identity("identity", &layer->identity);
	if (layer->parent_path != NULL) {
		describe_identity("parent", &layer->parent);
		describe_line("", "at %s", layer->parent_path);
	}
	describe_bytes("file", layer->file_length);
	describe_line("chunks", "%" PRIu64, layer->chunk_count);
	for (unsigned kind = 0; kind < LAZYMEM_CHUNK_KINDS; kind++) {
		if (layer->pages[kind] == 0)
			continue;
		describe_line(kind_names[kind], "%" PRIu64 " pages, %s, stored in %s",
			      layer->pages[kind],
			      format_bytes((double)(layer->pages[kind] * PAGE)).text,
			      format_bytes((double)layer->stored[kind]).text);
	}
	describe_line("ratio", "%s", format_ratio((double)ratio.data, (double)ratio.stored).text);
}

static void describe_blobs(const struct lazymem_snapshot *snapshot)
{
	for (size_t i = 0; i < lazymem_snapshot_blob_count(snapshot); i++) {
		const uint64_t length = lazymem_snapshot_blob_length(snapshot, i);

		describe_line(i == 0 ? "blobs" : "", "\"%s\", %s",
			      lazymem_snapshot_blob_name(snapshot, i),
			      format_bytes((double)length).text);
	}
}

void describe_snapshot(const struct lazymem_snapshot *snapshot)
{
	describe_blobs(snapshot);
	if (lazymem_snapshot_trace(snapshot) == NULL)
		describe_line("working set", "none");
	else
		describe_line(
			"working set", "%s in %zu ranges",
			format_bytes((double)lazymem_trace_length(lazymem_snapshot_trace(snapshot)))
				.text,
			lazymem_trace_count(lazymem_snapshot_trace(snapshot)));
	for (size_t i = 0; i < lazymem_snapshot_layer_count(snapshot); i++) {
		const struct lazymem_snapshot_layer layer = layer_at(snapshot, i);

		describe_layer(&layer, i);
	}
}

static void put_kinds(const char *key, const uint64_t *values, struct json *json)
{
	json_open(json, key, '{');
	for (unsigned kind = 0; kind < LAZYMEM_CHUNK_KINDS; kind++)
		json_number(json, kind_names[kind], values[kind]);
	json_close(json, '}');
}

static void put_layer(const struct lazymem_snapshot_layer *layer, struct json *json)
{
	const struct ratio ratio = ratio_of(layer);

	json_open(json, NULL, '{');
	json_string(json, "path", layer->path);
	describe_identity_json("identity", &layer->identity, json);
	describe_identity_json("parent", &layer->parent, json);
	if (layer->parent_path != NULL)
		json_string(json, "parent_path", layer->parent_path);
	else
		json_null(json, "parent_path");
	json_number(json, "file_bytes", layer->file_length);
	json_number(json, "chunks", layer->chunk_count);
	put_kinds("pages", layer->pages, json);
	put_kinds("stored_bytes", layer->stored, json);
	json_rate(json, "compression_ratio",
		  ratio.stored > 0 ? (double)ratio.data / (double)ratio.stored : -1);
	json_close(json, '}');
}

void describe_snapshot_json(const struct lazymem_snapshot *snapshot, struct json *json)
{
	json_open(json, "blobs", '[');
	for (size_t i = 0; i < lazymem_snapshot_blob_count(snapshot); i++) {
		json_open(json, NULL, '{');
		json_string(json, "name", lazymem_snapshot_blob_name(snapshot, i));
		json_number(json, "length", lazymem_snapshot_blob_length(snapshot, i));
		json_close(json, '}');
	}
	json_close(json, ']');
	if (lazymem_snapshot_trace(snapshot) == NULL) {
		json_null(json, "trace");
	} else {
		json_open(json, "trace", '{');
		describe_trace_json(lazymem_snapshot_trace(snapshot), json);
		json_close(json, '}');
	}
	json_open(json, "layers", '[');
	for (size_t i = 0; i < lazymem_snapshot_layer_count(snapshot); i++) {
		const struct lazymem_snapshot_layer layer = layer_at(snapshot, i);

		put_layer(&layer, json);
	}
	json_close(json, ']');
}
