/* SPDX-License-Identifier: MIT
 *
 * Where the first snapshot of a chain comes from:
 *   memory that is written back    what its object held when it was attached, written as
 *                                  a snapshot, which attaching is told of
 *   attached to a snapshot         that one
 *   any other                      none: the first moment is a whole snapshot
 */
#include "contract_moment.h"

#include <errno.h>
#include <lazymem/bytes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_FILES 12u

static const char *file_name(unsigned number)
{
	static char name[32];

	snprintf(name, sizeof(name), "moment-%u", number);
	return name;
}

/* ---- reading back ------------------------------------------------------------ */

uint64_t moment_offset(const struct lazymem_snapshot *snapshot, lazymem_guest_address address)
{
	for (size_t i = 0; i < lazymem_snapshot_region_count(snapshot); i++) {
		const struct lazymem_snapshot_region region =
			lazymem_snapshot_region_at(snapshot, i);

		if (address.value - region.base.value < region.length)
			return region.offset + (address.value - region.base.value);
	}
	fail_msg("guest address %#llx is not in the snapshot", (unsigned long long)address.value);
	return 0;
}

static bool is_hole(struct lazymem_backing *backing, uint64_t offset, uint64_t length)
{
	struct lazymem_extent extent;

	for (; length > 0; offset += extent.length, length -= extent.length) {
		assert_ok(lazymem_backing_extent(backing, offset, length, &extent));
		if (extent.kind != LAZYMEM_EXTENT_ZERO)
			return false;
	}
	return true;
}

static void open_newest(struct world *w)
{
	struct world_chain *chain = &w->chain;
	struct lazymem_snapshot *opened = NULL;

	assert_ok(lazymem_snapshot_open(scratch_path(file_name(chain->files - 1)), NULL, &opened));
	lazymem_snapshot_unref(chain->newest);
	chain->newest = opened;
	if (chain->bytes == NULL)
		chain->bytes = malloc(w->count * w->size);
	assert_non_null(chain->bytes);
}

/* The newest snapshot holds these bytes; what is told of its holes by `discarded`. */
static void check_newest(struct world *w, const unsigned char *bytes, bool of_moment)
{
	struct lazymem_backing *backing = lazymem_snapshot_backing(w->chain.newest);

	assert_ok(lazymem_backing_read(backing, 0, w->buffer, w->count * w->size));
	for (size_t i = 0; i < w->count; i++) {
		const uint64_t offset = moment_offset(w->chain.newest, world_address(w, i));

		world_compare(w, i, w->buffer + offset, bytes + i * w->size, w->size,
			      "the snapshot");
		if (of_moment && w->model.pages[i].taken_discarded &&
		    !is_hole(backing, offset, w->size))
			fail_msg("page %zu was discarded, and is no hole in the snapshot", i);
	}
	memcpy(w->chain.bytes, bytes, w->count * w->size);
}

/* ---- what a chain begins with ------------------------------------------------ */

static void write_base(struct world *w)
{
	const struct world_region *low = &w->regions[0], *high = &w->regions[1];
	const struct world_region *first = low->offset == 0 ? low : high;
	const struct world_region *second = low->offset == 0 ? high : low;
	const struct lazymem_snapshot_region regions[2] = {
		{{first->guest}, first->count * w->size, 0},
		{{second->guest}, second->count * w->size, 0},
	};
	const struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.source = w->storage.inner,
		.regions = regions,
		.region_count = 2,
	};

	assert_ok(lazymem_snapshot_write(scratch_path(file_name(w->chain.files++)), &plan));
	open_newest(w);
	check_newest(w, w->model.now, false);
	assert_ok(lazymem_backing_identity(lazymem_snapshot_backing(w->chain.newest),
					   &w->chain.origin));
	w->chain.has_origin = w->chain.follows = true;
}

void moment_chain_begins(struct world *w)
{
	struct world_chain *chain = &w->chain;

	chain->is_first = true;
	chain->follows = chain->has_origin = false;
	if (!w->writes_back || w->size - w->model.cut >= PAGE || chain->files >= MOST_FILES)
		return;
	if (world_random(w, 2) == 0)
		write_base(w);
}

void moment_chain_follows(struct world *w)
{
	w->chain.is_first = true;
	w->chain.follows = true;
	w->chain.has_origin = false; /* the object has an identity */
}

void moment_chain_ends(struct world *w)
{
	lazymem_snapshot_unref(w->chain.newest);
	free(w->chain.bytes);
	for (unsigned i = 0; i < w->chain.files; i++)
		unlink(scratch_path(file_name(i)));
}

/* ---- one moment -------------------------------------------------------------- */

static void begin(struct world *w)
{
	struct lazymem_moment *second = NULL;

	if (w->chain.files >= MOST_FILES)
		return;
	world_note("a moment begins");
	assert_ok(lazymem_moment_create(w->attachment, &w->chain.moment));
	w->chain.is_taken = false;
	if (world_random(w, 8) == 0)
		assert_refused(lazymem_moment_create(w->attachment, &second), -EBUSY, "moment");
}

static void copy(struct world *w)
{
	uint64_t length = UINT64_MAX;

	world_note("the moment is copied");
	assert_ok(lazymem_moment_copy(w->chain.moment, &length));
	assert_true(length <= w->count * w->size);
}

static bool is_in_moment(const struct model_page *page)
{
	return page->in_moment;
}

static void take(struct world *w)
{
	uint64_t length = UINT64_MAX;

	world_note("the moment is taken");
	assert_ok(lazymem_moment_take(w->chain.moment, &length));
	assert_true(length <= w->count * w->size);
	w->chain.is_taken = true;
	model_taken(&w->model);
	world_check_told(w, lazymem_moment_dirty(w->chain.moment), "the moment", is_in_moment);
}

static void drop(struct world *w)
{
	world_note("the moment is dropped");
	lazymem_moment_destroy(w->chain.moment);
	w->chain.moment = NULL;
	model_moment_dropped(&w->model);
}

/* What is written past the end of the first snapshot has no place in the others. */
static bool is_past_the_end(struct world *w)
{
	const uint64_t length = lazymem_backing_length(lazymem_snapshot_backing(w->chain.newest));

	for (size_t i = 0; i < w->count; i++) {
		const uint64_t offset = moment_offset(w->chain.newest, world_address(w, i));

		for (size_t at = 0; at < w->size && offset + w->size > length; at++)
			if (offset + at >= length && w->model.taken[i * w->size + at] != 0)
				return true;
	}
	return false;
}

static bool fails_reads_at_all(struct world *w)
{
	return storage_fails_reads(&w->storage, 0, w->storage.length);
}

/* 0: must succeed. */
static int expected_refusal(struct world *w)
{
	const struct world_chain *chain = &w->chain;

	if (!chain->follows)
		return w->writes_back || !chain->is_first ? -EINVAL : 0;
	return is_past_the_end(w) ? -ERANGE : 0;
}

static enum lazymem_chunk_kind pick_compression(struct world *w)
{
	static const enum lazymem_chunk_kind kinds[] = {LAZYMEM_CHUNK_ZERO, LAZYMEM_CHUNK_LZ4,
							LAZYMEM_CHUNK_ZSTD};
	const enum lazymem_chunk_kind kind = kinds[world_random(w, 3)];

	return lazymem_snapshot_supports(kind) ? kind : LAZYMEM_CHUNK_ZERO;
}

static void was_written(struct world *w)
{
	struct world_chain *chain = &w->chain;

	chain->files++;
	chain->is_first = false;
	chain->follows = true;
	open_newest(w);
	check_newest(w, w->model.taken, true);
	lazymem_moment_destroy(chain->moment);
	chain->moment = NULL;
	model_moment_written(&w->model);
}

static void write_it(struct world *w)
{
	struct world_chain *chain = &w->chain;
	const bool may_fail = !chain->follows && fails_reads_at_all(w);
	const int refusal = expected_refusal(w);
	const char *path = scratch_path(file_name(chain->files));
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.parent = chain->follows ? chain->newest : NULL,
		.compression = pick_compression(w),
		.chunk_size = PAGE << world_random(w, 7),
	};
	char parent_path[32];
	int error;

	snprintf(parent_path, sizeof(parent_path), "%s", file_name(chain->files - 1));
	plan.parent_path = chain->follows ? parent_path : NULL;
	if (world_random(w, 4) == 0)
		path = scratch_path("no-such-directory/moment");
	else
		path = scratch_path(file_name(chain->files));
	world_note("the moment is written: %s", path);
	error = lazymem_moment_write(chain->moment, path, &plan);
	if (error == 0 && refusal == 0)
		was_written(w);
	else if (refusal != 0)
		assert_int_equal(error, refusal);
	else if (strstr(path, "no-such-directory") != NULL)
		assert_true(error == -ENOENT || (error == -EIO && may_fail));
	else if (error != -EIO || !may_fail)
		assert_ok(error);
}

void moment_goes_on(struct world *w)
{
	const uint64_t choice = world_random(w, 8);

	if (w->chain.moment == NULL)
		begin(w);
	else if (choice == 0)
		drop(w);
	else if (w->chain.is_taken)
		write_it(w);
	else if (choice < 4)
		copy(w);
	else
		take(w);
}

void moment_outlives_attachment(struct world *w)
{
	uint64_t length;

	if (w->chain.moment == NULL)
		return;
	world_note("the moment outlives its attachment");
	if (!w->chain.is_taken)
		assert_refused(lazymem_moment_take(w->chain.moment, &length), -EINVAL, "let go");
	else if (world_random(w, 2) == 0)
		write_it(w);
	if (w->chain.moment != NULL)
		drop(w);
}

/* ---- restoring --------------------------------------------------------------- */

static struct lazymem_memory *map_snapshot(struct world *w, unsigned char **ret_hosts)
{
	const struct lazymem_snapshot *snapshot = w->chain.newest;
	struct lazymem_memory *memory = NULL;
	struct lazymem_region *regions[2];

	for (size_t i = 0; i < 2; i++) {
		const struct world_region *region = &w->regions[i];
		struct lazymem_mapping *mapping = NULL;

		assert_ok(
			lazymem_mapping_create_anonymous(region->count * w->size, NULL, &mapping));
		ret_hosts[i] = lazymem_mapping_span(mapping).host;
		assert_ok(lazymem_region_create(
			mapping, (lazymem_guest_address){region->guest},
			lazymem_snapshot_backing(snapshot),
			moment_offset(snapshot, (lazymem_guest_address){region->guest}),
			&regions[i]));
		lazymem_mapping_unref(mapping);
	}
	assert_ok(lazymem_memory_create(regions, 2, &memory));
	lazymem_region_unref(regions[0]);
	lazymem_region_unref(regions[1]);
	return memory;
}

void moment_is_restored(struct world *w)
{
	struct lazymem_attachment *attachment = NULL;
	struct lazymem_memory *memory;
	unsigned char *hosts[2];

	if (w->chain.newest == NULL)
		return;
	world_note("the newest snapshot is restored");
	memory = map_snapshot(w, hosts);
	assert_ok(lazymem_handler_attach(w->handler, memory, NULL, &attachment));
	for (size_t n = 0, i = world_random(w, w->count); n < w->count; n++) {
		const struct world_region *region = world_region_of(w, i);

		world_compare(w, i, hosts[region - w->regions] + (i - region->first) * w->size,
			      w->chain.bytes + i * w->size, w->size, "restored memory");
		i = (i + 1) % w->count;
	}
	lazymem_attachment_abort(attachment);
	lazymem_memory_unref(memory);
}
