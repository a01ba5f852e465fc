/* SPDX-License-Identifier: MIT */
#include "snapshots.h"

#include <lazymem/bytes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t below(uint64_t *random, uint64_t limit)
{
	return next_random(random) % limit;
}

static uint64_t pages_of(const struct snapshots *snapshots)
{
	return (snapshots->length + PAGE - 1) / PAGE;
}

/* Text that says which page of which version it is, noise, or zeros. */
static void fill_page(unsigned char *page, uint64_t number, uint64_t *random)
{
	const uint64_t version = next_random(random);
	char word[64];
	size_t length;

	memset(page, 0, PAGE);
	if (version % 4 == 0)
		return;
	if (version % 4 == 1) {
		for (size_t at = 0; at < PAGE; at += 8) {
			const uint64_t noise = next_random(random);

			memcpy(page + at, &noise, 8);
		}
		return;
	}
	length = (size_t)snprintf(word, sizeof(word), "page %llu is %llx now. ",
				  (unsigned long long)number, (unsigned long long)version);
	for (size_t at = 0; at + length <= PAGE; at += length)
		memcpy(page + at, word, length);
}

/* Give runs of pages other contents; `share` of ten of all. */
static void change_pages(struct snapshots *snapshots, uint64_t share, uint64_t *random)
{
	const uint64_t pages = pages_of(snapshots);

	for (uint64_t page = 0; page < pages;) {
		const uint64_t end = page + 1 + below(random, 12);
		const bool is_changed = below(random, 10) < share;

		for (; page < end && page < pages; page++)
			if (is_changed)
				fill_page(snapshots->bytes + page * PAGE, page, random);
	}
	memset(snapshots->bytes + snapshots->length, 0, pages * PAGE - snapshots->length);
}

/* Cut the memory into regions, and put these anywhere, the later ones not
 * always above. */
static void choose_regions(struct snapshots *snapshots, uint64_t *random)
{
	const uint64_t pages = pages_of(snapshots);
	uint64_t page = 0;

	snapshots->region_count = 0;
	while (page < pages) {
		const size_t number = snapshots->region_count++;
		uint64_t count = 1 + below(random, pages);

		if (count > pages - page || snapshots->region_count == MOST_REGIONS)
			count = pages - page;
		snapshots->regions[number] = (struct lazymem_snapshot_region){
			.base = {(UINT64_C(1) << 40) * (number ^ 3) + below(random, 100) * PAGE},
			.length = count * PAGE,
			.offset = page * PAGE,
		};
		page += count;
	}
}

/* Some pages in no order. */
static struct lazymem_trace *choose_trace(const struct snapshots *snapshots, uint64_t *random)
{
	struct lazymem_trace *trace;

	assert_ok(lazymem_trace_create(PAGE, &trace));
	for (int i = 0; i < 30; i++) {
		const struct lazymem_snapshot_region *region =
			&snapshots->regions[below(random, snapshots->region_count)];
		struct lazymem_guest_range range = {region->base, PAGE};

		range.start.value += below(random, region->length / PAGE) * PAGE;
		assert_ok(lazymem_trace_append(trace, range));
	}
	return trace;
}

static enum lazymem_chunk_kind choose_compression(uint64_t *random)
{
	static const enum lazymem_chunk_kind kinds[] = {LAZYMEM_CHUNK_ZERO, LAZYMEM_CHUNK_LZ4,
							LAZYMEM_CHUNK_ZSTD};
	const enum lazymem_chunk_kind kind = kinds[below(random, 3)];

	return lazymem_snapshot_supports(kind) ? kind : LAZYMEM_CHUNK_ZERO;
}

const char *snapshots_path(size_t parents)
{
	char name[32];

	snprintf(name, sizeof(name), "snapshot-%zu", parents);
	return scratch_path(name);
}

/* Memory as it is now, as the file over `number` others. */
static void write_layer(struct snapshots *snapshots, size_t number, uint64_t *random)
{
	char parent_path[32];
	const struct lazymem_snapshot_blob_source blob = {"state", "state of the monitor", 20};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.regions = snapshots->regions,
		.region_count = snapshots->region_count,
		.compression = choose_compression(random),
		.chunk_size = PAGE << below(random, 7),
		.blobs = &blob,
		.blob_count = below(random, 2),
	};
	struct lazymem_snapshot *parent = NULL;

	assert_ok(lazymem_bytes_create(snapshots->bytes, snapshots->length, NULL, NULL,
				       &plan.source));
	lazymem_trace_destroy(snapshots->trace);
	snapshots->trace = below(random, 2) != 0 ? choose_trace(snapshots, random) : NULL;
	plan.trace = snapshots->trace;
	if (number > 0) {
		snprintf(parent_path, sizeof(parent_path), "snapshot-%zu", number - 1);
		assert_ok(lazymem_snapshot_open(snapshots_path(number - 1), NULL, &parent));
		plan.parent = parent;
		plan.parent_path = parent_path;
	}
	assert_ok(lazymem_snapshot_write(snapshots_path(number), &plan));
	lazymem_backing_unref(plan.source);
	lazymem_snapshot_unref(parent);
}

void snapshots_write(struct snapshots *snapshots, uint64_t length, size_t parents, uint64_t *random)
{
	*snapshots = (struct snapshots){.length = length, .parents = parents};
	snapshots->bytes = calloc(pages_of(snapshots), PAGE);
	assert_non_null(snapshots->bytes);
	choose_regions(snapshots, random);
	for (size_t i = 0; i <= parents; i++) {
		change_pages(snapshots, i == 0 ? 8 : 2, random);
		write_layer(snapshots, i, random);
	}
	snapshots->path = strdup(snapshots_path(parents));
}

void snapshots_destroy(struct snapshots *snapshots)
{
	lazymem_trace_destroy(snapshots->trace);
	free((void *)(uintptr_t)snapshots->path);
	free(snapshots->bytes);
}

/* ---- restored --------------------------------------------------------------- */

void restored_begin(struct restored *restored, const struct snapshots *snapshots,
		    struct lazymem_backing *backing, const struct lazymem_attach_options *options)
{
	struct lazymem_region *regions[MOST_REGIONS];

	*restored = (struct restored){.snapshots = snapshots};
	for (size_t i = 0; i < snapshots->region_count; i++) {
		const struct lazymem_snapshot_region *region = &snapshots->regions[i];
		struct lazymem_mapping *mapping;

		assert_ok(lazymem_mapping_create_anonymous(region->length, NULL, &mapping));
		restored->hosts[i] = lazymem_mapping_span(mapping).host;
		assert_ok(lazymem_region_create(mapping, region->base, backing, region->offset,
						&regions[i]));
		lazymem_mapping_unref(mapping);
	}
	assert_ok(lazymem_memory_create(regions, snapshots->region_count, &restored->memory));
	for (size_t i = 0; i < snapshots->region_count; i++)
		lazymem_region_unref(regions[i]);
	assert_ok(lazymem_handler_create(NULL, &restored->handler));
	assert_ok(lazymem_handler_attach(restored->handler, restored->memory, options,
					 &restored->attachment));
}

void restored_end(struct restored *restored)
{
	lazymem_attachment_abort(restored->attachment);
	assert_ok(lazymem_handler_destroy(restored->handler));
	lazymem_memory_unref(restored->memory);
}

unsigned char *restored_page(const struct restored *restored, uint64_t page)
{
	const struct snapshots *snapshots = restored->snapshots;
	size_t i = 0;

	while (page * PAGE >= snapshots->regions[i].offset + snapshots->regions[i].length)
		i++;
	return restored->hosts[i] + (page * PAGE - snapshots->regions[i].offset);
}

void assert_restored(const struct restored *restored)
{
	for (uint64_t page = 0; page < pages_of(restored->snapshots); page++)
		assert_memory_equal(restored_page(restored, page),
				    restored->snapshots->bytes + page * PAGE, PAGE);
}
