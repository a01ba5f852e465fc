/* SPDX-License-Identifier: MIT
 *
 * snapshots.c - snapshots of a machine that runs.
 *
 * What the guest has written is copied in rounds while it runs, as long as a
 * round has clearly less to copy than the one before. Then the guest is paused for
 * the rest, and for the state of the vCPUs. The file is written while it goes on.
 *
 * The first snapshot of a fresh guest is whole; all others are layers: over the
 * snapshot before, or over the one that the guest was restored from.
 */
#include "snapshots.h"

#include "fault.h"
#include "uffdbench/clock.h"

#include <errno.h>
#include <lazymem/moment.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS_MOST 8
#define WORTH_A_ROUND (UINT64_C(1) << 20) /* bytes: less is copied in the pause */

int snapshots_set_parent(struct snapshots *snapshots, const char *path)
{
	char *parent = realpath(path, NULL);

	if (parent == NULL)
		return fault("%s: %s", path, strerror(errno));
	free(snapshots->parent);
	snapshots->parent = parent;
	return 0;
}

void snapshots_free(struct snapshots *snapshots)
{
	free(snapshots->parent);
	snapshots->parent = NULL;
}

/* ---- the moment ------------------------------------------------------------------- */

static int copy_rounds(struct lazymem_moment *moment)
{
	uint64_t before = UINT64_MAX;

	for (unsigned round = 0; round < ROUNDS_MOST; round++) {
		uint64_t length;

		if (lazymem_moment_copy(moment, &length) != 0)
			return fault_of_library(NULL);
		if (length < WORTH_A_ROUND || length > before / 4 * 3)
			break;
		before = length;
	}
	return 0;
}

/* The machine is paused. */
static int take(struct machine *machine, struct lazymem_moment *moment,
		struct machine_state *ret_state, struct snapshot_result *result)
{
	if (machine_get_end(machine, NULL, NULL) != MACHINE_GOES_ON)
		return fault("the guest has ended");
	if (lazymem_moment_take(moment, &result->bytes_paused) != 0)
		return fault_of_library(NULL);
	return machine_save(machine, ret_state);
}

static int pause_and_take(struct machine *machine, struct lazymem_moment *moment,
			  struct machine_state *ret_state, struct snapshot_result *result)
{
	const uint64_t start = clock_ns();
	int error;

	machine_pause(machine);
	error = take(machine, moment, ret_state, result);
	machine_resume(machine);
	result->pause_ns = clock_ns() - start;
	result->bytes = lazymem_dirty_length(lazymem_moment_dirty(moment));
	return error;
}

/* ---- the file ---------------------------------------------------------------------- */

/* How the layer at `path` says where its parent is: by its name alone, where both are in one
 * directory, so that they can be moved together. */
static const char *parent_path(const char *parent, const char *path)
{
	const char *name = strrchr(parent, '/') + 1; /* it is absolute */
	const char *slash = strrchr(path, '/');
	char real[PATH_MAX];
	char *directory = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
	const char *found = parent;

	if (directory != NULL && realpath(directory, real) != NULL &&
	    strlen(real) == (size_t)(name - 1 - parent) && strncmp(real, parent, strlen(real)) == 0)
		found = name;
	free(directory);
	return found;
}

static int write_file(struct snapshots *snapshots, struct lazymem_moment *moment,
		      const struct machine_state *state, const char *path)
{
	const struct lazymem_snapshot_blob_source blob = {
		.name = MACHINE_STATE_BLOB,
		.bytes = state->bytes,
		.length = state->length,
	};
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.blobs = &blob,
		.blob_count = 1,
	};
	struct lazymem_snapshot *parent = NULL;
	int error;

	if (snapshots->parent != NULL) {
		if (lazymem_snapshot_open(snapshots->parent, NULL, &parent) != 0)
			return fault_of_library(NULL);
		plan.parent = parent;
		plan.parent_path = parent_path(snapshots->parent, path);
	}
	error = lazymem_moment_write(moment, path, &plan);
	lazymem_snapshot_unref(parent);
	return error == 0 ? 0 : fault_of_library(NULL);
}

/* Written over a file that it needs, or that the guest's memory is filled from, a snapshot
 * would be the end of both. */
static int check_path(const struct snapshots *snapshots, const char *path)
{
	struct lazymem_snapshot *parent;
	char *real = realpath(path, NULL);
	int result = 0;

	if (real == NULL || snapshots->parent == NULL) {
		free(real);
		return 0; /* a new file, or no snapshot of ours is there yet */
	}
	if (lazymem_snapshot_open(snapshots->parent, NULL, &parent) != 0) {
		free(real);
		return fault_of_library(NULL);
	}
	for (size_t i = 0; i < lazymem_snapshot_layer_count(parent); i++) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		char layer_real[PATH_MAX];

		if (lazymem_snapshot_layer_at(parent, i, &layer) == 0 &&
		    realpath(layer.path, layer_real) != NULL && strcmp(layer_real, real) == 0)
			result = fault("%s: the guest's memory depends on this file", path);
	}
	lazymem_snapshot_unref(parent);
	free(real);
	return result;
}

static int write_moment(struct snapshots *snapshots, struct machine *machine,
			struct lazymem_moment *moment, const char *path,
			struct snapshot_result *result)
{
	struct machine_state state = {0};
	int error;

	if (copy_rounds(moment) != 0)
		return -1;
	error = pause_and_take(machine, moment, &state, result);
	if (error == 0)
		error = write_file(snapshots, moment, &state, path);
	machine_state_free(&state);
	return error;
}

int snapshots_write(struct snapshots *snapshots, struct machine *machine, const char *path,
		    struct snapshot_result *ret_result)
{
	struct snapshot_result result = {.is_layer = snapshots->parent != NULL};
	struct lazymem_moment *moment;
	int error;

	if (check_path(snapshots, path) != 0)
		return -1;
	if (lazymem_moment_create(machine_memory(machine)->attachment, &moment) != 0)
		return fault_of_library(NULL);
	error = write_moment(snapshots, machine, moment, path, &result);
	lazymem_moment_destroy(moment);
	if (error != 0 || snapshots_set_parent(snapshots, path) != 0)
		return -1;
	*ret_result = result;
	return 0;
}
