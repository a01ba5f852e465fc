/* SPDX-License-Identifier: MIT
 *
 * sync: what the guest has written is made durable in its file. The library has
 * to find out which pages these are; the plain loops are told, sorted and with
 * neighbours put together, and write them from memory that is there.
 *
 * The file has every page, and before each run they are in the page cache
 * and on the disk, whoever was there before. Each run stores other
 * bytes, and is checked on the disk, past the page cache: the pages that were
 * written, and those beside them.
 */
#include "clock.h"
#include "complain.h"
#include "dirty_pages.h"
#include "dirty_plain.h"
#include "image.h"
#include "lazy_guest.h"
#include "measurement.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <lazymem/file.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct way {
	bool plain;
	enum dirty_plain loop;
	bool direct; /* past the page cache */
};

static const struct way ways[] = {
	{false, 0, false},
	{false, 0, true},
	{true, DIRTY_PLAIN_WRITE, false},
	{true, DIRTY_PLAIN_EARLY, false},
	{true, DIRTY_PLAIN_DIRECT, true},
};

static const char *const names[] = {
	"lazymem", "lazymem-direct", "pwrite", "pwrite-early", "pwrite-direct", NULL,
};

enum { TIME, RATE, RATIO };

static const struct measurement_column columns[] = {
	[TIME] = {"sync_ns", "sync", UNIT_NS},
	[RATE] = {"bytes_per_second", "rate", UNIT_RATE},
	[RATIO] = {"to_best_plain", "to plain", UNIT_RATIO},
	{NULL, NULL, UNIT_NS},
};

struct state {
	struct dirty_pages pages;
	struct image image;
	int direct; /* the same file, past the page cache */
	uint64_t stamp;
	char *memory; /* of the plain loops; only the pages that they write are there */
	uint64_t length;
};

/* ---- the file ---- */

static int read_page(const struct state *state, int fd, uint64_t offset, uint64_t *words)
{
	if (pread(fd, words, PAGE_BYTES, (off_t)offset) == PAGE_BYTES)
		return 0;
	complain("cannot read %s at %llu", state->image.name, (unsigned long long)offset);
	return -1;
}

/* Right before the clock starts: have the pages that are about to be written in the
 * page cache, and just looked at, and nothing left to be written. */
static int settle_file(const struct state *state, uint64_t *words)
{
	for (size_t i = 0; i < state->pages.count; i++) {
		if (read_page(state, state->image.fd, state->pages.offsets[i], words) != 0)
			return -1;
	}
	if (fdatasync(state->image.fd) == 0)
		return 0;
	complain("cannot write to %s: %s", state->image.name, strerror(errno));
	return -1;
}

static int check_page(const struct state *state, uint64_t offset, bool written, uint64_t *words,
		      uint64_t *wrong)
{
	if (read_page(state, state->direct, offset, words) != 0)
		return -1;
	*wrong += !dirty_page_matches(offset, words, written, state->stamp);
	return 0;
}

static int check_range(const struct state *state, const struct dirty_range *range, uint64_t *words,
		       uint64_t *wrong)
{
	const uint64_t end = range->offset + range->length;
	int result = 0;

	if (range->offset > 0)
		result |= check_page(state, range->offset - PAGE_BYTES, false, words, wrong);
	for (uint64_t at = range->offset; at < end && result == 0; at += PAGE_BYTES)
		result |= check_page(state, at, true, words, wrong);
	if (end < state->length && result == 0)
		result |= check_page(state, end, false, words, wrong);
	return result;
}

static int check_file(const struct state *state, uint64_t *words, uint64_t *wrong)
{
	for (size_t i = 0; i < state->pages.range_count; i++) {
		if (check_range(state, &state->pages.ranges[i], words, wrong) != 0)
			return -1;
	}
	return 0;
}

/* ---- runs ---- */

static int time_plain(const struct state *state, const struct way *way, uint64_t *words,
		      uint64_t *ret_ns)
{
	uint64_t start_ns;
	int result;

	dirty_pages_write(&state->pages, state->memory, state->stamp);
	if (settle_file(state, words) != 0)
		return -1;
	start_ns = clock_ns();
	result = dirty_plain_sync(way->loop, way->direct ? state->direct : state->image.fd,
				  state->image.name, &state->pages, state->memory);
	*ret_ns = clock_ns() - start_ns;
	return result;
}

static int time_guest(const struct state *state, const struct lazy_guest *guest, uint64_t *words,
		      uint64_t *ret_ns)
{
	uint64_t start_ns;

	dirty_pages_write(&state->pages, guest->host, state->stamp);
	if (settle_file(state, words) != 0)
		return -1;
	start_ns = clock_ns();
	if (lazymem_memory_sync(guest->memory, (lazymem_guest_address){0}, state->length) != 0)
		return lazy_guest_failed(guest);
	*ret_ns = clock_ns() - start_ns;
	return 0;
}

static int time_lazymem(const struct state *state, const struct way *way, const char *name,
			uint64_t *words, uint64_t *ret_ns)
{
	const struct lazymem_file_options options = {
		.size = sizeof(options),
		.flags = LAZYMEM_FILE_WRITABLE | (way->direct ? LAZYMEM_FILE_DIRECT : 0),
	};
	struct lazy_guest_plan plan = {
		.name = name,
		.length = state->length,
		.flags = LAZYMEM_ATTACH_WRITE_BACK,
	};
	struct lazy_guest guest = {.name = name};
	int result;

	if (lazymem_file_open(state->image.path, &options, &plan.backing) != 0)
		return lazy_guest_failed(&guest);
	result = lazy_guest_open(&plan, &guest);
	if (result == 0) {
		result = time_guest(state, &guest, words, ret_ns);
		result |= lazy_guest_close(&guest);
	}
	lazymem_backing_unref(plan.backing);
	return result;
}

static int measure(struct state *state, const struct way *way, uint64_t *words,
		   struct measurement_run *run)
{
	uint64_t ns = 0;
	int result = way->plain ? time_plain(state, way, words, &ns)
				: time_lazymem(state, way, run->way, words, &ns);

	if (result != 0)
		return -1;
	run->values[TIME] = (double)ns;
	run->values[RATE] = (double)(run->pages * PAGE_BYTES) * 1e9 / (double)ns;
	return check_file(state, words, &run->wrong);
}

static int run_way(void *opaque, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run)
{
	struct state *state = opaque;
	uint64_t *words = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
	int result = -1;

	(void)setting;
	run->pages = state->pages.count;
	state->stamp++;
	if (words != NULL)
		result = measure(state, &ways[way], words, run);
	else
		complain("no memory to check a file with");
	free(words);
	return result;
}

/* Rates to that of the best plain loop of the same repeat. */
static void relate(struct measurement_run *runs, size_t count)
{
	double best = 0;

	for (size_t i = 0; i < count; i++) {
		if (ways[i].plain && !runs[i].failed && runs[i].values[RATE] > best)
			best = runs[i].values[RATE];
	}
	for (size_t i = 0; i < count && best > 0; i++)
		runs[i].values[RATIO] = runs[i].values[RATE] / best;
}

/* ---- what all runs share ---- */

static void release(void *opaque)
{
	struct state *state = opaque;

	if (state->memory != NULL)
		munmap(state->memory, state->length);
	if (state->direct >= 0)
		close(state->direct);
	image_close(&state->image);
	dirty_pages_destroy(&state->pages);
	free(state);
}

static int map_memory(struct state *state)
{
	char *memory = mmap(NULL, state->length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED) {
		complain("no memory for the plain loops: %s", strerror(errno));
		return -1;
	}
	state->memory = memory;
	madvise(memory, state->length, MADV_NOHUGEPAGE); /* only those pages */
	for (size_t i = 0; i < state->pages.count; i++) {
		const uint64_t offset = state->pages.offsets[i];

		pattern_fill(PATTERN_DATA, offset, (uint64_t *)(void *)(memory + offset));
	}
	return 0;
}

static int make_file(struct state *state, const char *directory)
{
	if (image_create(directory, state->length, PATTERN_DATA, &state->image) != 0)
		return -1;
	state->direct = open(state->image.path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (state->direct >= 0)
		return 0;
	complain("%s: no file there can be written past the page cache: %s", directory,
		 strerror(errno));
	return -1;
}

static int prepare(const struct measurement *measurement, const struct measurement_setting *setting,
		   void **ret_state)
{
	const size_t *run = measurement->variant;
	struct state *state = calloc(1, sizeof(*state));

	if (state == NULL) {
		complain("no memory");
		return -1;
	}
	*state = (struct state){.image = {.fd = -1}, .direct = -1, .length = setting->memory};
	if (dirty_pages_create(setting->memory, *run, &state->pages) != 0 ||
	    make_file(state, setting->directory) != 0 || map_memory(state) != 0) {
		release(state);
		return -1;
	}
	*ret_state = state;
	return 0;
}

static const size_t single_pages = 1;
static const size_t runs_of_pages = 16;

const struct measurement dirty_sync_pages = {
	.name = "sync-pages",
	.summary = "making scattered pages durable in a file",
	.does = "written",
	.ways = names,
	.columns = columns,
	.prepare = prepare,
	.release = release,
	.run = run_way,
	.relate = relate,
	.variant = &single_pages,
};

const struct measurement dirty_sync_runs = {
	.name = "sync-runs",
	.summary = "the same of scattered runs of 64 KiB",
	.does = "written",
	.ways = names,
	.columns = columns,
	.prepare = prepare,
	.release = release,
	.run = run_way,
	.relate = relate,
	.variant = &runs_of_pages,
};
