/* SPDX-License-Identifier: MIT
 *
 * region.c - a mapping at a guest address, and what it is filled from.
 */
#include "core/region.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What lazymem_region_load asks for at a time. */
#define LOAD_PIECE ((uint64_t)1 << 20)

static int check_base(lazymem_guest_address base, uint64_t length, size_t page_size)
{
	uint64_t last;

	if (!lm_is_aligned(base.value, page_size))
		return lm_error(-EINVAL,
				"region [0x%" PRIx64 "+0x%" PRIx64
				"] begins at no multiple of its page size, %zu",
				base.value, length, page_size);
	if (!lm_add(base.value, length - 1, &last))
		return lm_error(-EOVERFLOW,
				"region [0x%" PRIx64 "+0x%" PRIx64
				"] goes past the end of the guest's address space",
				base.value, length);
	return 0;
}

/* Does every page of the region begin inside the backing object? */
static int check_backing(lazymem_guest_address base, const struct lazymem_mapping *mapping,
			 const struct lazymem_backing *backing, uint64_t backing_offset)
{
	uint64_t last_page;

	if (lm_mapping_is_file(mapping))
		return lm_error(-EINVAL,
				"region [0x%" PRIx64 "+0x%zx] maps a file, which is its own "
				"backing object; it takes no other",
				base.value, mapping->length);
	if (!lm_add(backing_offset, mapping->length - mapping->page_size, &last_page) ||
	    last_page >= lazymem_backing_length(backing))
		return lm_error(-ERANGE,
				"region [0x%" PRIx64 "+0x%zx] needs %zu bytes at offset %" PRIu64
				" of %s, which has %" PRIu64,
				base.value, mapping->length, mapping->length, backing_offset,
				lazymem_backing_name(backing), lazymem_backing_length(backing));
	return 0;
}

int lazymem_region_create(struct lazymem_mapping *mapping, lazymem_guest_address base,
			  struct lazymem_backing *backing, uint64_t backing_offset,
			  struct lazymem_region **ret_region)
{
	struct lazymem_region *region;
	int error = check_base(base, mapping->length, mapping->page_size);

	if (error == 0 && backing != NULL)
		error = check_backing(base, mapping, backing, backing_offset);
	if (error != 0)
		return error;
	region = malloc(sizeof(*region));
	if (region == NULL)
		return lm_error(-ENOMEM, "region [0x%" PRIx64 "+0x%zx]: out of memory", base.value,
				mapping->length);
	atomic_init(&region->references, 1);
	region->base = base;
	region->length = mapping->length;
	region->mapping = lazymem_mapping_ref(mapping);
	region->backing = backing != NULL ? lazymem_backing_ref(backing) : NULL;
	region->backing_offset = backing_offset;
	*ret_region = region;
	return 0;
}

struct lazymem_region *lazymem_region_ref(struct lazymem_region *region)
{
	atomic_fetch_add_explicit(&region->references, 1, memory_order_relaxed);
	return region;
}

void lazymem_region_unref(struct lazymem_region *region)
{
	if (region == NULL)
		return;
	if (atomic_fetch_sub_explicit(&region->references, 1, memory_order_acq_rel) != 1)
		return;
	lazymem_mapping_unref(region->mapping);
	lazymem_backing_unref(region->backing);
	free(region);
}

lazymem_guest_address lazymem_region_base(const struct lazymem_region *region)
{
	return region->base;
}

uint64_t lazymem_region_length(const struct lazymem_region *region)
{
	return region->length;
}

struct lazymem_mapping *lazymem_region_mapping(const struct lazymem_region *region)
{
	return region->mapping;
}

struct lazymem_backing *lazymem_region_backing(const struct lazymem_region *region)
{
	return region->backing;
}

uint64_t lazymem_region_backing_offset(const struct lazymem_region *region)
{
	return region->backing_offset;
}

static int load_data(struct lazymem_region *region, uint64_t start, uint64_t length)
{
	for (uint64_t used = 0; used < length;) {
		const uint64_t piece = lm_min(length - used, LOAD_PIECE);
		const int error =
			lazymem_backing_read(region->backing, region->backing_offset + start + used,
					     region->mapping->host + start + used, (size_t)piece);

		if (error != 0)
			return error;
		used += piece;
	}
	return 0;
}

static int check_load(struct lazymem_region *region)
{
	if (region->backing == NULL)
		return lm_error(-ENOENT,
				"region [0x%" PRIx64 "+0x%" PRIx64 "] has no backing object",
				region->base.value, region->length);
	if (!(region->mapping->protection & PROT_WRITE))
		return lm_error(-EACCES,
				"region [0x%" PRIx64 "+0x%" PRIx64
				"] cannot be loaded into memory that is not writable",
				region->base.value, region->length);
	if (lm_mapping_is_attached(region->mapping))
		return lm_error(-EBUSY,
				"region [0x%" PRIx64 "+0x%" PRIx64 "] is served by a handler",
				region->base.value, region->length);
	return 0;
}

int lazymem_region_load(struct lazymem_region *region)
{
	struct lazymem_extent extent = {0};
	int error = check_load(region);

	for (uint64_t start = 0; error == 0 && start < region->length; start += extent.length) {
		error = lazymem_backing_extent(region->backing, region->backing_offset + start,
					       region->length - start, &extent);
		if (error == 0 && extent.kind == LAZYMEM_EXTENT_DATA)
			error = load_data(region, start, extent.length);
	}
	return error;
}
