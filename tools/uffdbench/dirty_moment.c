/* SPDX-License-Identifier: MIT
 *
 * moment: an incremental snapshot of a guest that runs. It is restored from a
 * snapshot of all its memory, and has written one page in a hundred; its threads
 * go on writing these at a pace while the copies are made, stand still for the
 * moment, and go on while the layer is written. The pause is from asking them to
 * stand still until they may go on.
 *
 * Then the layer is opened over the snapshot, and every page of it is compared
 * with what was in memory at the moment; it must have these pages and no other.
 */
#include "clock.h"
#include "complain.h"
#include "dirty_writers.h"
#include "interrupt.h"
#include "lazy_guest.h"
#include "measurement.h"
#include "pattern.h"
#include "pattern_source.h"
#include "scratch.h"

#include <lazymem/moment.h>
#include <lazymem/snapshot.h>
#include <stdlib.h>
#include <unistd.h>

/* Copying while the guest runs has an end when so little is left, ... */
#define LITTLE_BYTES (256u * 1024)
/* ... or when it does not get less, ... */
#define ROUNDS_MAX 8u

struct way {
	bool rounds; /* copy while the guest runs */
	bool paced;  /* the guest writes its pages once a second, else as fast as it can */
};

static const struct way ways[] = {
	{true, true},
	{false, true},
	{true, false},
};

static const char *const names[] = {"rounds", "no-rounds", "rounds-busy", NULL};

enum { PAUSE, PAUSE_BYTES, COPY, COPY_BYTES, ROUNDS, WRITE, FILE_BYTES };

static const struct measurement_column columns[] = {
	[PAUSE] = {"pause_ns", "pause", UNIT_NS},
	[PAUSE_BYTES] = {"pause_bytes", "copied", UNIT_BYTES},
	[COPY] = {"rounds_ns", "rounds", UNIT_NS},
	[COPY_BYTES] = {"rounds_bytes", "copied", UNIT_BYTES},
	[ROUNDS] = {"rounds", "rounds", UNIT_COUNT},
	[WRITE] = {"write_ns", "writing", UNIT_NS},
	[FILE_BYTES] = {"layer_bytes", "layer", UNIT_BYTES},
	{NULL, NULL, UNIT_NS},
};

struct state {
	struct dirty_pages pages;
	uint64_t length;
	int fd; /* of the snapshot that the guest is restored from */
	struct lazymem_snapshot *base;
};

static int complain_of_library(const char *what)
{
	complain("%s: %s", what, lazymem_error_message());
	return -1;
}

static int stop_when_interrupted(void *context, uint64_t done, uint64_t total)
{
	(void)context, (void)done, (void)total;
	return interrupt_came();
}

/* ---- the moment ---- */

/* Copy while the guest runs, as long as it gains. */
static int copy_rounds(struct lazymem_moment *moment, struct measurement_run *run)
{
	const uint64_t start_ns = clock_ns();
	uint64_t length = UINT64_MAX, before, copied = 0;
	unsigned rounds = 0;

	do {
		before = length;
		if (lazymem_moment_copy(moment, &length) != 0)
			return complain_of_library(run->way);
		copied += length;
		rounds++;
	} while (length > LITTLE_BYTES && length < before / 2 && rounds < ROUNDS_MAX);
	run->values[COPY] = (double)(clock_ns() - start_ns);
	run->values[COPY_BYTES] = (double)copied;
	run->values[ROUNDS] = (double)rounds;
	return 0;
}

static int take(struct lazymem_moment *moment, struct dirty_writers *writers,
		struct measurement_run *run)
{
	const uint64_t start_ns = clock_ns();
	uint64_t length = 0;
	int error;

	dirty_writers_stop(writers);
	error = lazymem_moment_take(moment, &length);
	dirty_writers_go(writers);
	run->values[PAUSE] = (double)(clock_ns() - start_ns);
	run->values[PAUSE_BYTES] = (double)length;
	return error == 0 ? 0 : complain_of_library(run->way);
}

/* ---- the layer ---- */

struct layer {
	const struct state *state;
	struct lazymem_moment *moment;
	const char *name;
	uint64_t ns;
};

static int write_layer(void *context, const char *path)
{
	struct layer *layer = context;
	const struct scratch_path parent = scratch_path(layer->state->fd);
	const struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.parent = layer->state->base,
		.parent_path = parent.text,
		.progress = stop_when_interrupted,
	};
	const uint64_t start_ns = clock_ns();

	if (lazymem_moment_write(layer->moment, path, &plan) != 0)
		return complain_of_library(layer->name);
	layer->ns = clock_ns() - start_ns;
	return 0;
}

struct check {
	struct lazymem_backing *backing; /* of the layer and what is below it */
	uint64_t words[PAGE_WORDS];
	uint64_t wrong;
};

static void check_page(void *context, uint64_t offset, uint64_t stamp)
{
	struct check *check = context;

	check->wrong +=
		lazymem_backing_read(check->backing, offset, check->words, PAGE_BYTES) != 0 ||
		!dirty_page_matches(offset, check->words, true, stamp);
}

/* Does the layer have as many pages as were written? */
static uint64_t count_surplus(const struct lazymem_snapshot *snapshot, uint64_t pages,
			      double *ret_bytes)
{
	struct lazymem_snapshot_layer layer = {.size = sizeof(layer)};
	uint64_t stored = 0;

	if (lazymem_snapshot_layer_at(snapshot, 0, &layer) != 0)
		return pages;
	for (size_t kind = 0; kind < LAZYMEM_CHUNK_KINDS; kind++)
		stored += kind != LAZYMEM_CHUNK_PARENT ? layer.pages[kind] : 0;
	*ret_bytes = (double)layer.file_length;
	return stored > pages ? stored - pages : pages - stored;
}

static int check_layer(const struct state *state, int fd, const struct dirty_writers *writers,
		       struct measurement_run *run)
{
	const struct scratch_path parent = scratch_path(state->fd);
	const char *const parents[] = {parent.text};
	const struct lazymem_snapshot_options options = {
		.size = sizeof(options), .parents = parents, .parent_count = 1};
	struct lazymem_snapshot *snapshot;
	struct check check = {0};

	if (lazymem_snapshot_open(scratch_path(fd).text, &options, &snapshot) != 0)
		return complain_of_library(run->way);
	check.backing = lazymem_snapshot_backing(snapshot);
	dirty_writers_each(writers, check_page, &check);
	run->wrong +=
		check.wrong + count_surplus(snapshot, state->pages.count, &run->values[FILE_BYTES]);
	lazymem_snapshot_unref(snapshot);
	return 0;
}

static int keep(const struct state *state, const struct measurement_setting *setting,
		struct lazymem_moment *moment, const struct dirty_writers *writers,
		struct measurement_run *run)
{
	struct layer layer = {state, moment, run->way, 0};
	const int fd = scratch_write(setting->directory, write_layer, &layer);
	int result;

	if (fd < 0)
		return -1;
	run->values[WRITE] = (double)layer.ns;
	run->wrong += dirty_pages_differ(&state->pages, lazymem_moment_dirty(moment));
	result = check_layer(state, fd, writers, run);
	close(fd);
	return result;
}

/* ---- runs ---- */

static int measure(const struct state *state, const struct measurement_setting *setting,
		   const struct way *way, const struct lazy_guest *guest,
		   struct dirty_writers *writers, struct measurement_run *run)
{
	struct lazymem_moment *moment;
	int result = 0;

	dirty_writers_wait(writers);
	if (lazymem_moment_create(guest->attachment, &moment) != 0)
		return complain_of_library(run->way);
	if (way->rounds)
		result = copy_rounds(moment, run);
	if (result == 0)
		result = take(moment, writers, run);
	if (result == 0)
		result = keep(state, setting, moment, writers, run);
	lazymem_moment_destroy(moment);
	return result;
}

static int run_way(void *opaque, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run)
{
	const struct state *state = opaque;
	const struct lazy_guest_plan plan = {
		.name = run->way,
		.backing = lazymem_snapshot_backing(state->base),
		.length = setting->memory,
		.flags = LAZYMEM_ATTACH_TRACK,
	};
	struct dirty_writers *writers = NULL;
	struct lazy_guest guest;
	int result;

	run->pages = state->pages.count;
	if (lazy_guest_open(&plan, &guest) != 0)
		return -1;
	result = dirty_writers_start(&state->pages, guest.host,
				     ways[way].paced ? state->pages.count : 0, &writers);
	if (result == 0)
		result = measure(state, setting, &ways[way], &guest, writers, run);
	dirty_writers_end(writers);
	return lazy_guest_close(&guest) == 0 ? result : -1;
}

/* ---- what all runs share ---- */

static int write_base(void *context, const char *path)
{
	const struct state *state = context;
	struct lazymem_snapshot_plan plan = {
		.size = sizeof(plan),
		.progress = stop_when_interrupted,
	};
	int error = pattern_source_create(state->length, &plan.source);

	if (error == 0)
		error = lazymem_snapshot_write(path, &plan);
	lazymem_backing_unref(plan.source);
	return error == 0 ? 0 : complain_of_library("the snapshot to restore from");
}

static void release(void *opaque)
{
	struct state *state = opaque;

	lazymem_snapshot_unref(state->base);
	if (state->fd >= 0)
		close(state->fd);
	dirty_pages_destroy(&state->pages);
	free(state);
}

static int make_base(struct state *state, const char *directory)
{
	state->fd = scratch_write(directory, write_base, state);
	if (state->fd < 0)
		return -1;
	if (lazymem_snapshot_open(scratch_path(state->fd).text, NULL, &state->base) == 0)
		return 0;
	return complain_of_library("the snapshot to restore from");
}

static int prepare(const struct measurement *measurement, const struct measurement_setting *setting,
		   void **ret_state)
{
	struct state *state = calloc(1, sizeof(*state));

	(void)measurement;
	if (state == NULL) {
		complain("no memory");
		return -1;
	}
	*state = (struct state){.length = setting->memory, .fd = -1};
	if (dirty_pages_create(setting->memory, 1, &state->pages) != 0 ||
	    make_base(state, setting->directory) != 0) {
		release(state);
		return -1;
	}
	*ret_state = state;
	return 0;
}

const struct measurement dirty_moment = {
	.name = "moment",
	.summary = "an incremental snapshot of a guest that runs",
	.does = "written",
	.ways = names,
	.columns = columns,
	.prepare = prepare,
	.release = release,
	.run = run_way,
};
