/* SPDX-License-Identifier: MIT
 *
 * snapshots.c - snapshots of a machine that runs.
 *
 * What the guest has written is copied in rounds while it runs, as long as a
 * round has clearly less to copy than the one before. Then the guest is paused for
 * the rest, and for the state of the vCPUs. The file is written while it goes on.
 *
 * The first snapshot of a fresh guest, or of one that has come by a migration, is
 * whole; all others are layers: over the snapshot before, or over the one that the guest
 * was restored from.
 */
#include "snapshots.h"

#include "clock.h"
#include "fault.h"
#include "opening.h"

#include <errno.h>
#include <lazymem/moment.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MOST 8
#define WORTH_A_ROUND (UINT64_C(1) << 20) /* bytes: less is copied in the pause */

/* ---- the files of the last one ------------------------------------------------------ */

/* Room for one more, so that put_first() cannot fail. */
static int reserve(struct snapshots *snapshots)
{
	char **files = reallocarray(snapshots->files, snapshots->count + 1, sizeof(*files));

	if (files == NULL)
		return fault("no memory for the name of a snapshot");
	snapshots->files = files;
	return 0;
}

/* `file` is ours from then on. */
static void put_first(struct snapshots *snapshots, char *file)
{
	memmove(snapshots->files + 1, snapshots->files,
		snapshots->count * sizeof(snapshots->files[0]));
	snapshots->files[0] = file;
	snapshots->count++;
}

static char *real_path(const char *path)
{
	char *real = realpath(path, NULL);

	if (real == NULL)
		fault("%s: %s", path, strerror(errno));
	return real;
}

/* Of a file of the snapshot that the guest was restored from. */
static char *lasting_name(const char *name)
{
	char *copy;

	if (!opening_is_uri(name))
		return real_path(name);
	copy = strdup(name);
	if (copy == NULL)
		fault("no memory for the name of a snapshot");
	return copy;
}

int snapshots_begin(struct snapshots *snapshots, const struct lazymem_snapshot *parent,
		    struct lazymem_backing *const *parts, size_t part_count)
{
	for (size_t i = lazymem_snapshot_layer_count(parent); i-- > 0;) {
		struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
		char *file;

		if (lazymem_snapshot_layer_at(parent, i, &layer) != 0)
			return fault_of_library(NULL);
		file = lasting_name(layer.path);
		if (file == NULL || reserve(snapshots) != 0) {
			free(file);
			return -1;
		}
		put_first(snapshots, file);
	}
	/* Of files that were looked for there are fewer names than layers, and no objects. */
	if (part_count == snapshots->count) {
		snapshots->parts = parts;
		snapshots->part_count = part_count;
	}
	return 0;
}

/* A server may let in nobody but the guest; and who ends the guest gives up its objects, and so ends
 * whoever waits for one. */
static void take_parts(const struct snapshots *snapshots, struct lazymem_backing **parts)
{
	const size_t own = snapshots->count - snapshots->part_count;

	for (size_t i = 0; i < snapshots->part_count; i++) {
		if (snapshots->parts[i] != NULL)
			parts[own + i] = lazymem_backing_ref(snapshots->parts[i]);
	}
}

/* As it was when it was last seen: its parents are where they were then, and not only where its
 * layers say. */
static int open_last(const struct snapshots *snapshots, struct lazymem_snapshot **ret_snapshot)
{
	struct lazymem_backing **parts = calloc(snapshots->count, sizeof(struct lazymem_backing *));
	int error;

	if (parts == NULL)
		return fault("no memory for %zu files of a snapshot", snapshots->count);
	take_parts(snapshots, parts);
	error = opening_snapshot((const char *const *)snapshots->files, snapshots->count, parts,
				 ret_snapshot);
	opening_close(parts, snapshots->count);
	free(parts);
	return error == 0 ? 0 : fault_of_library(NULL);
}

void snapshots_free(struct snapshots *snapshots)
{
	for (size_t i = 0; i < snapshots->count; i++)
		free(snapshots->files[i]);
	free(snapshots->files);
	*snapshots = (struct snapshots){0};
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

/* The path of a file that is about to be made, from the root on; for the caller to free. NULL:
 * a sentence. */
static char *place_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash != NULL ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	char *real = directory != NULL ? real_path(directory) : NULL;
	char *place = NULL;

	if (directory == NULL ||
	    (real != NULL && asprintf(&place, "%s/%s", strcmp(real, "/") != 0 ? real : "",
				      slash != NULL ? slash + 1 : path) < 0)) {
		fault("no memory for the name of a snapshot");
		place = NULL;
	}
	free(directory);
	free(real);
	return place;
}

/* How the layer at `place` says where its parent is: by its name alone, where both are in one
 * directory, so that they can be moved together. Both are absolute, or the parent is an export. */
static const char *parent_path(const char *parent, const char *place)
{
	const char *name = strrchr(parent, '/') + 1;
	const size_t length = (size_t)(name - parent);

	if (strncmp(parent, place, length) == 0 && strchr(place + length, '/') == NULL)
		return name;
	return parent;
}

static int write_file(struct snapshots *snapshots, struct lazymem_moment *moment,
		      const struct machine_state *state, const char *place)
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

	if (snapshots->count > 0) {
		if (open_last(snapshots, &parent) != 0)
			return -1;
		plan.parent = parent;
		plan.parent_path = parent_path(snapshots->files[0], place);
	}
	error = lazymem_moment_write(moment, place, &plan);
	lazymem_snapshot_unref(parent);
	return error == 0 ? 0 : fault_of_library(NULL);
}

/* Written over a file that it needs, or that the guest's memory is filled from, a snapshot
 * would be the end of both. */
static int check_place(const struct snapshots *snapshots, const char *place, const char *path)
{
	char *behind = realpath(place, NULL); /* of a link; NULL: nothing is there yet */
	int result = 0;

	for (size_t i = 0; i < snapshots->count && result == 0; i++) {
		if (strcmp(snapshots->files[i], place) == 0 ||
		    (behind != NULL && strcmp(snapshots->files[i], behind) == 0))
			result = fault("%s: the guest's memory depends on this file", path);
	}
	free(behind);
	return result;
}

static int write_moment(struct snapshots *snapshots, struct machine *machine,
			struct lazymem_moment *moment, const char *place,
			struct snapshot_result *result)
{
	struct machine_state state = {0};
	uint64_t length;
	int error;

	/* What a guest has been sent is nowhere else once its source has gone. */
	if (snapshots->count == 0 && guest_memory_has_come(machine_memory(machine)) &&
	    lazymem_moment_copy_all(moment, &length) != 0)
		return fault_of_library(NULL);
	if (copy_rounds(moment) != 0)
		return -1;
	error = pause_and_take(machine, moment, &state, result);
	if (error == 0)
		error = write_file(snapshots, moment, &state, place);
	machine_state_free(&state);
	return error;
}

static int write_to(struct snapshots *snapshots, struct machine *machine, const char *place,
		    struct snapshot_result *result)
{
	struct lazymem_moment *moment;
	int error;

	if (lazymem_moment_create(machine_memory(machine)->attachment, &moment) != 0)
		return fault_of_library(NULL);
	error = write_moment(snapshots, machine, moment, place, result);
	lazymem_moment_destroy(moment);
	return error;
}

/* The source of a guest that a migration has brought may go while it is read from. All has
 * come then, and a second attempt needs no source. */
static int write_stubbornly(struct snapshots *snapshots, struct machine *machine, const char *place,
			    struct snapshot_result *result)
{
	int error = write_to(snapshots, machine, place, result);

	if (error != 0 && snapshots->count == 0 && guest_memory_has_come(machine_memory(machine)) &&
	    machine_get_end(machine, NULL, NULL) == MACHINE_GOES_ON)
		error = write_to(snapshots, machine, place, result);
	return error;
}

int snapshots_write(struct snapshots *snapshots, struct machine *machine, const char *path,
		    struct snapshot_result *ret_result)
{
	struct snapshot_result result = {.is_layer = snapshots->count > 0};
	char *place = place_of(path);

	if (place == NULL || check_place(snapshots, place, path) != 0 || reserve(snapshots) != 0 ||
	    write_stubbornly(snapshots, machine, place, &result) != 0) {
		free(place);
		return -1;
	}
	put_first(snapshots, place);
	*ret_result = result;
	return 0;
}
