/* SPDX-License-Identifier: MIT */
#include "restore_source.h"
#include "fault.h"
#include "lazymem/file_bytes.h"
#include "machine.h"

#include <inttypes.h>
#include <lazymem/file.h>
#include <lazymem/layered.h>
#include <lazymem/nbd.h>
#include <lazymem/snapshot.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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

int restore_source_open_snapshot(struct restore_source *source, char *const *paths, size_t count)
{
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options),
		.parents = (const char *const *)paths + 1,
		.parent_count = count - 1,
	};

	if (lazymem_snapshot_open(paths[0], &options, &source->snapshot) != 0)
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

/* nbd://HOST/EXPORT, nbd+unix:///EXPORT?socket=PATH, and with TLS. */
static bool is_nbd(const char *path)
{
	return strncmp(path, "nbd", 3) == 0 && strstr(path, "://") != NULL;
}

static int open_image(const char *path, struct lazymem_backing **ret_image)
{
	const int error = is_nbd(path) ? lazymem_nbd_open(path, NULL, ret_image)
				       : lazymem_file_open(path, NULL, ret_image);

	return error == 0 ? 0 : fault_of_library(NULL);
}

static int open_layers(struct lazymem_backing **layers, char *const *paths, size_t count,
		       struct lazymem_backing **ret_memory)
{
	for (size_t i = 0; i < count; i++) {
		if (open_image(paths[i], &layers[i]) != 0)
			return -1;
	}
	if (count == 1)
		*ret_memory = lazymem_backing_ref(layers[0]);
	else if (lazymem_layered_create(layers, count, ret_memory) != 0)
		return fault_of_library(NULL);
	return 0;
}

int restore_source_open_images(struct restore_source *source, const char *state, char *const *paths,
			       size_t count)
{
	struct lazymem_backing **layers = calloc(count, sizeof(struct lazymem_backing *));
	int result;

	if (layers == NULL)
		return fault("no memory for %zu images", count);
	result = open_layers(layers, paths, count, &source->memory);
	for (size_t i = 0; i < count; i++)
		lazymem_backing_unref(layers[i]);
	free(layers);
	return result == 0 ? read_state(&source->state, state) : -1;
}

void restore_source_close(struct restore_source *source)
{
	lazymem_backing_unref(source->memory);
	lazymem_snapshot_unref(source->snapshot);
	machine_state_free(&source->state);
	*source = (struct restore_source){0};
}
