/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_plan.c - is it a plan that can be carried out? All of it is
 * checked before a file is made, so that a mistake costs nothing.
 */
#include "backing/snapshot_write_plan.h"

#include "backing/codec.h"
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LONGEST_MEMORY (UINT64_C(1) << 56)
#define DEFAULT_CHUNK ((size_t)4 << 10)

int lm_write_failed(const struct lm_write_plan *plan, int error)
{
	return lm_error(error, "snapshot %s: %s", plan->path, lazymem_error_message());
}

/* ---- the memory ---------------------------------------------------------- */

static int check_source(struct lm_write_plan *plan)
{
	uint64_t length;

	if (plan->asked.source == NULL)
		return lm_error(-EINVAL, "the plan has no source");
	length = lazymem_backing_length(plan->asked.source);
	if (length > LONGEST_MEMORY)
		return lm_error(-EINVAL, "a memory of %" PRIu64 " bytes is longer than 2^56",
				length);
	plan->pages = lm_snapshot_pages(length);
	return 0;
}

/* One region for all of the memory, or a copy of those that the caller has. */
static int take_regions(struct lm_write_plan *plan)
{
	const bool has_regions = plan->asked.regions != NULL;
	const size_t count = has_regions ? plan->asked.region_count : 1;

	if (has_regions != (plan->asked.region_count != 0))
		return lm_error(-EINVAL, "%zu regions, and %s", plan->asked.region_count,
				has_regions ? "an array of them" : "no array of them");
	if (count > LM_MOST_REGIONS)
		return lm_error(-EINVAL, "%zu regions, more than %zu", count, LM_MOST_REGIONS);
	plan->regions = calloc(count, sizeof(*plan->regions));
	if (plan->regions == NULL)
		return lm_error(-ENOMEM, "no memory for %zu regions", count);
	plan->region_count = count;
	if (has_regions)
		memcpy(plan->regions, plan->asked.regions, count * sizeof(*plan->regions));
	else
		plan->regions[0].length = plan->pages * LM_SNAPSHOT_PAGE;
	return 0;
}

static int check_regions(struct lm_write_plan *plan)
{
	uint64_t offset = 0;
	int error = take_regions(plan);

	if (error != 0)
		return error;
	error = lm_snapshot_check_regions(-EINVAL, plan->regions, plan->region_count,
					  lazymem_backing_length(plan->asked.source));
	for (size_t i = 0; i < plan->region_count && error == 0; i++) {
		plan->regions[i].offset = offset;
		offset += plan->regions[i].length;
	}
	return error;
}

/* ---- the parent ---------------------------------------------------------- */

static int check_parent_regions(const struct lm_write_plan *plan)
{
	const struct lazymem_snapshot *parent = plan->asked.parent;
	const uint64_t length = lazymem_backing_length(plan->asked.source);
	const uint64_t parent_length = lazymem_backing_length(plan->parent);

	if (parent_length != length)
		return lm_error(-EINVAL,
				"the parent has %" PRIu64 " bytes, the source has %" PRIu64,
				parent_length, length);
	if (lazymem_snapshot_region_count(parent) != plan->region_count)
		return lm_error(-EINVAL, "the parent has %zu regions, the plan has %zu",
				lazymem_snapshot_region_count(parent), plan->region_count);
	for (size_t i = 0; i < plan->region_count; i++) {
		const struct lazymem_snapshot_region region = lazymem_snapshot_region_at(parent, i);

		if (region.base.value != plan->regions[i].base.value ||
		    region.length != plan->regions[i].length)
			return lm_error(-EINVAL, "region %zu of the parent is another one", i);
	}
	return 0;
}

/* A layer in place of a file that it needs would take its own ground away. */
static int check_place(const struct lm_write_plan *plan)
{
	struct stat there;

	if (stat(plan->path, &there) != 0)
		return 0;
	for (size_t i = 0; i < lazymem_snapshot_layer_count(plan->asked.parent); i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		struct stat needed;
		const int error = lazymem_snapshot_layer_at(plan->asked.parent, i, &layer);

		if (error != 0)
			return error;
		if (stat(layer.path, &needed) == 0 && needed.st_dev == there.st_dev &&
		    needed.st_ino == there.st_ino)
			return lm_error(-EINVAL, "it would replace %s, which it needs as a parent",
					layer.path);
	}
	return 0;
}

static int check_parent(struct lm_write_plan *plan)
{
	const char *path = plan->asked.parent_path;
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
	int error;

	if ((plan->asked.parent != NULL) != (path != NULL))
		return lm_error(-EINVAL, "a parent and a parent_path belong together");
	if (path == NULL)
		return 0;
	if (*path == '\0' || strlen(path) > LM_LONGEST_PARENT_PATH)
		return lm_error(-EINVAL, "parent_path has %zu bytes, not 1 to %zu", strlen(path),
				LM_LONGEST_PARENT_PATH);
	plan->parent = lazymem_snapshot_backing(plan->asked.parent);
	error = lazymem_snapshot_layer_at(plan->asked.parent, 0, &layer);
	if (error != 0)
		return error;
	plan->parent_identity = layer.identity;
	error = check_parent_regions(plan);
	return error != 0 ? error : check_place(plan);
}

/* ---- what has changed ---------------------------------------------------- */

/* The region that holds byte `offset` of the memory. */
static const struct lazymem_snapshot_region *region_of(const struct lm_write_plan *plan,
						       uint64_t offset)
{
	size_t i = 0;

	while (offset - plan->regions[i].offset >= plan->regions[i].length)
		i++;
	return &plan->regions[i];
}

uint64_t lm_write_plan_alike(const struct lm_write_plan *plan, uint64_t page, bool *ret_changed)
{
	const uint64_t offset = page * LM_SNAPSHOT_PAGE;
	const struct lazymem_snapshot_region *region = region_of(plan, offset);
	const uint64_t inside = offset - region->offset;
	const lazymem_guest_address address = {region->base.value + inside};
	struct lazymem_guest_range next;
	uint64_t length = region->length - inside;

	*ret_changed = lazymem_dirty_test(plan->asked.changed, address);
	if (lazymem_dirty_next(plan->asked.changed, address, &next) == 0) {
		const uint64_t until =
			*ret_changed ? next.length : next.start.value - address.value;

		length = lm_min(length, until);
	}
	return length / LM_SNAPSHOT_PAGE;
}

/* A page of the set that is in no region would be lost. */
static int check_changed(const struct lm_write_plan *plan)
{
	uint64_t found = 0, length;

	if (plan->asked.changed == NULL)
		return 0;
	if (plan->parent == NULL)
		return lm_error(-EINVAL, "it is told what has changed, and has no parent");
	for (uint64_t page = 0, alike; page < plan->pages; page += alike) {
		bool is_changed;

		alike = lm_write_plan_alike(plan, page, &is_changed);
		if (is_changed)
			found += alike * LM_SNAPSHOT_PAGE;
	}
	length = lazymem_dirty_length(plan->asked.changed);
	if (found != length)
		return lm_error(-EINVAL,
				"of %" PRIu64 " bytes that have changed, %" PRIu64
				" lie in no region of the plan",
				length, length - found);
	return 0;
}

/* ---- the rest ------------------------------------------------------------ */

static int check_compression(struct lm_write_plan *plan)
{
	const enum lazymem_chunk_kind kind = plan->asked.compression;
	const size_t size = plan->asked.chunk_size;

	if (size != 0 && (!lm_is_power_of_two(size) || size < LM_SNAPSHOT_PAGE ||
			  size > LM_CHUNK_PAGES * LM_SNAPSHOT_PAGE))
		return lm_error(-EINVAL, "chunk_size %zu is no power of two from 4096 to 262144",
				size);
	plan->chunk_size = size != 0 ? size : DEFAULT_CHUNK;
	if (kind == LAZYMEM_CHUNK_ZERO) {
		if (plan->asked.level != 0)
			return lm_error(-EINVAL, "level %d, and no compression", plan->asked.level);
		return 0;
	}
	if (kind != LAZYMEM_CHUNK_LZ4 && kind != LAZYMEM_CHUNK_ZSTD)
		return lm_error(-EINVAL, "kind %u is no compression", (unsigned)kind);
	return lm_codec_check_level(kind, plan->asked.level);
}

static int check_blob(const struct lazymem_snapshot_blob_source *blob, size_t index)
{
	const size_t length = blob->name != NULL ? strlen(blob->name) : 0;

	if (length == 0)
		return lm_error(-EINVAL, "blob %zu has no name", index);
	if (length > LM_LONGEST_BLOB_NAME)
		return lm_error(-EINVAL, "blob %zu: its name has %zu bytes, not 1 to %zu", index,
				length, LM_LONGEST_BLOB_NAME);
	if (blob->bytes == NULL && blob->length != 0)
		return lm_error(-EINVAL, "blob %s has a length and no bytes", blob->name);
	return 0;
}

static int check_blobs(const struct lm_write_plan *plan)
{
	const size_t count = plan->asked.blob_count;
	const char **names;
	int error = 0;

	if (count != 0 && plan->asked.blobs == NULL)
		return lm_error(-EINVAL, "%zu blobs, and no array of them", count);
	if (count > LM_MOST_BLOBS)
		return lm_error(-EINVAL, "%zu blobs, more than %zu", count, LM_MOST_BLOBS);
	names = calloc(count + 1, sizeof(*names));
	if (names == NULL)
		return lm_error(-ENOMEM, "no memory for the names of %zu blobs", count);
	for (size_t i = 0; i < count && error == 0; i++) {
		error = check_blob(&plan->asked.blobs[i], i);
		names[i] = plan->asked.blobs[i].name;
	}
	if (error == 0)
		error = lm_snapshot_check_names(-EINVAL, names, count);
	free(names);
	return error;
}

/* A layer with the identity of a file below it would be its own ancestor. */
static int check_ancestry(const struct lm_write_plan *plan)
{
	const struct lazymem_snapshot *parent = plan->asked.parent;
	const size_t count = parent != NULL ? lazymem_snapshot_layer_count(parent) : 0;

	for (size_t i = 0; i < count; i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		const int error = lazymem_snapshot_layer_at(parent, i, &layer);

		if (error != 0)
			return error;
		if (lm_identity_equal(&plan->identity, &layer.identity))
			return lm_error(-EINVAL, "the identity is that of the parent %s",
					layer.path);
	}
	return 0;
}

static int take_identity(struct lm_write_plan *plan)
{
	if (plan->asked.identity == NULL)
		return lm_identity_create(&plan->identity);
	plan->identity = *plan->asked.identity;
	if (lm_identity_is_none(&plan->identity))
		return lm_error(-EINVAL, "the identity is all zeros");
	return check_ancestry(plan);
}

int lm_write_plan_check(const char *path, const struct lazymem_snapshot_plan *plan,
			struct lm_write_plan *ret_plan)
{
	struct lm_write_plan known = {.path = path};
	int error;

	if (path == NULL)
		return lm_error(-EINVAL, "snapshot: no path to write it to");
	error = lm_options_copy(plan, &known.asked, sizeof(known.asked),
				"struct lazymem_snapshot_plan");
	if (error == 0)
		error = check_source(&known);
	if (error == 0)
		error = check_regions(&known);
	if (error == 0)
		error = check_parent(&known);
	if (error == 0)
		error = check_changed(&known);
	if (error == 0)
		error = check_compression(&known);
	if (error == 0)
		error = check_blobs(&known);
	if (error == 0)
		error = take_identity(&known);
	if (error != 0) {
		lm_write_plan_destroy(&known);
		return lm_write_failed(&known, error);
	}
	*ret_plan = known;
	return 0;
}

void lm_write_plan_destroy(struct lm_write_plan *plan)
{
	free(plan->regions);
	plan->regions = NULL;
}
