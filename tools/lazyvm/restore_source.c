/* SPDX-License-Identifier: MIT */
#include "restore_source.h"
#include "fault.h"
#include "file_bytes.h"
#include "machine.h"
#include "opening.h"

#include <inttypes.h>
#include <lazymem/layered.h>
#include <stdlib.h>

/* The state says where the memory was in the guest, and the snapshot says it too. */
static int check_regions(const struct restore_source *source)
{
	const size_t count = lazymem_snapshot_region_count(source->snapshot);
	const char *name = lazymem_backing_name(source->memory);
	struct machine_shape shape;
	uint64_t offset = 0;

	if (machine_state_shape(&source->state, &shape) != 0)
		return fault("%s: %s", name, fault_message());
	if (count != shape.memory.region_count)
		return fault("%s: has %zu regions of memory, and the state of its machine %zu",
			     name, count, shape.memory.region_count);
	for (size_t i = 0; i < count; i++) {
		const struct lazymem_snapshot_region region =
			lazymem_snapshot_region_at(source->snapshot, i);
		const struct guest_region_shape *own = &shape.memory.regions[i];

		if (region.base.value != own->base || region.length != own->length ||
		    region.offset != offset)
			return fault(
				"%s: has memory at [0x%" PRIx64 "+0x%" PRIx64
				"], and the state of its machine at [0x%" PRIx64 "+0x%" PRIx64 "]",
				name, region.base.value, region.length, own->base, own->length);
		offset += region.length;
	}
	return 0;
}

/* Room for so many objects. 0, or -1 and a sentence. */
static int reserve_parts(struct restore_source *source, size_t count)
{
	source->parts = calloc(count, sizeof(struct lazymem_backing *));
	if (source->parts == NULL)
		return fault("no memory for %zu images", count);
	source->part_count = count;
	return 0;
}

int restore_source_open_snapshot(struct restore_source *source, char *const *paths, size_t count)
{
	if (reserve_parts(source, count) != 0)
		return -1;
	if (opening_snapshot((const char *const *)paths, count, source->parts, &source->snapshot) !=
	    0)
		return fault_of_library(NULL);
	source->memory = lazymem_backing_ref(lazymem_snapshot_backing(source->snapshot));
	if (machine_state_from_snapshot(&source->state, source->snapshot) != 0)
		return -1;
	return check_regions(source);
}

/* ---- raw images ------------------------------------------------------------------- */

static int read_state(struct machine_state *state, const char *path)
{
	void *bytes;
	size_t length;

	if (file_bytes_read(path, &bytes, &length) != 0)
		return fault("%s: the state of the machine cannot be read", path);
	*state = (struct machine_state){bytes, length, length};
	return machine_state_check(state, path);
}

static int open_layers(struct restore_source *source, char *const *paths)
{
	struct lazymem_backing **layers = source->parts;

	for (size_t i = 0; i < source->part_count; i++) {
		if (opening_image(paths[i], &layers[i]) != 0)
			return fault_of_library(NULL);
	}
	if (source->part_count == 1)
		source->memory = lazymem_backing_ref(layers[0]);
	else if (lazymem_layered_create(layers, source->part_count, &source->memory) != 0)
		return fault_of_library(NULL);
	return 0;
}

int restore_source_open_images(struct restore_source *source, const char *state, char *const *paths,
			       size_t count)
{
	if (reserve_parts(source, count) != 0 || open_layers(source, paths) != 0)
		return -1;
	return read_state(&source->state, state);
}

void restore_source_close(struct restore_source *source)
{
	lazymem_backing_unref(source->memory);
	lazymem_snapshot_unref(source->snapshot);
	opening_close(source->parts, source->part_count);
	free(source->parts);
	machine_state_free(&source->state);
	*source = (struct restore_source){0};
}
