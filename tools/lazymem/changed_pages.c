/* SPDX-License-Identifier: MIT
 *
 * A set of pages is one of a guest memory. Nothing is ever read from this one, or
 * written to it: it is address space, which cannot be written and so costs nothing.
 */
#include "changed_pages.h"
#include "complain.h"

#include <lazymem/memory.h>
#include <stdlib.h>
#include <sys/mman.h>

static int make_region(const struct lazymem_snapshot_region *described,
		       struct lazymem_region **ret_region)
{
	const struct lazymem_mapping_options options = {.size = sizeof(options),
							.protection = PROT_READ};
	struct lazymem_mapping *mapping;
	int error = lazymem_mapping_create_anonymous((size_t)described->length, &options, &mapping);

	if (error != 0)
		return error;
	error = lazymem_region_create(mapping, described->base, NULL, 0, ret_region);
	lazymem_mapping_unref(mapping);
	return error;
}

static int make_memory(const struct lazymem_snapshot_region *described, size_t count,
		       struct lazymem_memory **ret_memory)
{
	struct lazymem_region **regions = calloc(count, sizeof(struct lazymem_region *));
	size_t made = 0;
	int error = 0;

	if (regions == NULL) {
		complain("no memory for %zu regions", count);
		return -1;
	}
	while (error == 0 && made < count) {
		error = make_region(&described[made], &regions[made]);
		made += error == 0;
	}
	if (error == 0)
		error = lazymem_memory_create(regions, count, ret_memory);
	if (error != 0)
		complain("%s", lazymem_error_message());
	for (size_t i = 0; i < made; i++)
		lazymem_region_unref(regions[i]);
	free(regions);
	return error == 0 ? 0 : -1;
}

/* Add the part of a run of bytes that is in a region. */
static int add_part(struct lazymem_dirty *dirty, const struct lazymem_snapshot_region *region,
		    uint64_t start, uint64_t length)
{
	const uint64_t end = start + length, region_end = region->offset + region->length;
	const uint64_t first = start > region->offset ? start : region->offset;
	const uint64_t last = end < region_end ? end : region_end;

	if (first >= last)
		return 0;
	return lazymem_dirty_add(
		dirty, (struct lazymem_guest_range){{region->base.value + (first - region->offset)},
						    last - first});
}

static int add_all(struct lazymem_dirty *dirty, const struct lazymem_backing *overlay,
		   const struct lazymem_snapshot_region *regions, size_t count)
{
	uint64_t start = 0, length = 0;
	int error = 0;

	while (error == 0 && lazymem_overlay_changed(overlay, start + length, &start, &length) == 0)
		for (size_t i = 0; error == 0 && i < count; i++)
			error = add_part(dirty, &regions[i], start, length);
	return error;
}

struct lazymem_dirty *changed_pages(const struct lazymem_backing *overlay,
				    const struct lazymem_snapshot_region *regions, size_t count)
{
	struct lazymem_dirty *dirty = NULL;
	struct lazymem_memory *memory;
	int error;

	if (make_memory(regions, count, &memory) != 0)
		return NULL;
	error = lazymem_dirty_create(memory, &dirty);
	lazymem_memory_unref(memory);
	if (error == 0)
		error = add_all(dirty, overlay, regions, count);
	if (error == 0)
		return dirty;
	complain("%s", lazymem_error_message());
	lazymem_dirty_destroy(dirty);
	return NULL;
}
