/* SPDX-License-Identifier: MIT
 *
 * track: what it costs the guest that its writes are tracked, and what it costs
 * to ask for them. Every page of the guest is populated; then it writes one in a
 * hundred for the first time, which is timed as a whole, and the dirty set is
 * collected, which is timed as well.
 *
 * What was only populated must not be told before, nothing but what was written
 * after, and nothing at all when it is asked once more; where the kernel can
 * tell only what was populated, it must be everything each time.
 */
#include "clock.h"
#include "dirty_pages.h"
#include "lazy_guest.h"
#include "measurement.h"
#include "pattern.h"

#include <stdlib.h>

#define STAMP 1

struct way {
	enum lazymem_tracking most; /* NONE: it is not tracked */
	bool memfd;
};

enum { UNTRACKED, UNTRACKED_MEMFD = 4 };

static const struct way ways[] = {
	[UNTRACKED] = {LAZYMEM_TRACKING_NONE, false},
	{LAZYMEM_TRACKING_KERNEL, false},
	{LAZYMEM_TRACKING_FAULTS, false},
	{LAZYMEM_TRACKING_POPULATED, false},
	[UNTRACKED_MEMFD] = {LAZYMEM_TRACKING_NONE, true},
	{LAZYMEM_TRACKING_KERNEL, true},
	{LAZYMEM_TRACKING_FAULTS, true},
	{LAZYMEM_TRACKING_POPULATED, true},
};

static const char *const names[] = {
	"untracked",    "kernel",       "faults",          "populated", "untracked-memfd",
	"kernel-memfd", "faults-memfd", "populated-memfd", NULL,
};

enum { WRITE, EXTRA, COLLECT, PER_GIB };

static const struct measurement_column columns[] = {
	[WRITE] = {"first_write_ns", "write", UNIT_NS},
	[EXTRA] = {"first_write_extra_ns", "extra", UNIT_NS},
	[COLLECT] = {"collect_ns", "collect", UNIT_NS},
	[PER_GIB] = {"collect_ns_per_gib", "per GiB", UNIT_NS},
	{NULL, NULL, UNIT_NS},
};

/* Collect into a set that is empty, and count the pages that are not as expected:
 * `pages`; NULL: none; all of them where that is how it is tracked. */
static int collect(const struct lazy_guest *guest, struct lazymem_dirty *dirty,
		   const struct dirty_pages *pages, uint64_t *wrong, uint64_t *ret_ns)
{
	const struct dirty_pages none = {0};
	uint64_t start_ns;

	lazymem_dirty_clear(dirty);
	start_ns = clock_ns();
	if (lazymem_attachment_collect(guest->attachment, dirty) != 0)
		return lazy_guest_failed(guest);
	*ret_ns = clock_ns() - start_ns;
	if (lazymem_attachment_tracking(guest->attachment) == LAZYMEM_TRACKING_POPULATED)
		*wrong += (lazymem_memory_length(guest->memory) - lazymem_dirty_length(dirty)) /
			  PAGE_BYTES;
	else
		*wrong += dirty_pages_differ(pages != NULL ? pages : &none, dirty);
	return 0;
}

static double time_writes(const struct lazy_guest *guest, const struct dirty_pages *pages)
{
	const uint64_t start_ns = clock_ns();

	dirty_pages_write(pages, guest->host, STAMP);
	return (double)(clock_ns() - start_ns) / (double)pages->count;
}

static uint64_t count_unwritten(const struct lazy_guest *guest, const struct dirty_pages *pages)
{
	uint64_t wrong = 0;

	for (size_t i = 0; i < pages->count; i++) {
		const uint64_t offset = pages->offsets[i];
		const void *words = (char *)guest->host + offset;

		wrong += !dirty_page_matches(offset, words, true, STAMP);
	}
	return wrong;
}

static int measure_tracked(const struct lazy_guest *guest, const struct dirty_pages *pages,
			   struct measurement_run *run)
{
	struct lazymem_dirty *dirty;
	uint64_t ns, unused_ns;
	int result;

	if (lazymem_dirty_create(guest->memory, &dirty) != 0)
		return lazy_guest_failed(guest);
	result = collect(guest, dirty, NULL, &run->wrong, &unused_ns);
	if (result == 0) {
		run->values[WRITE] = time_writes(guest, pages);
		result = collect(guest, dirty, pages, &run->wrong, &ns);
	}
	if (result == 0) {
		run->values[COLLECT] = (double)ns;
		run->values[PER_GIB] = (double)ns / ((double)run->memory / (1u << 30));
		result = collect(guest, dirty, NULL, &run->wrong, &unused_ns);
	}
	lazymem_dirty_destroy(dirty);
	return result;
}

static int measure(const struct lazy_guest *guest, const struct dirty_pages *pages,
		   enum lazymem_tracking tracking, struct measurement_run *run)
{
	int result = 0;

	run->absent = lazymem_attachment_tracking(guest->attachment) != tracking;
	if (run->absent)
		return 0;
	if (tracking == LAZYMEM_TRACKING_NONE)
		run->values[WRITE] = time_writes(guest, pages);
	else
		result = measure_tracked(guest, pages, run);
	run->wrong += count_unwritten(guest, pages);
	return result;
}

static int run_way(void *state, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run)
{
	const struct dirty_pages *pages = state;
	const enum lazymem_tracking tracking = ways[way].most;
	const struct lazy_guest_plan plan = {
		.name = run->way,
		.length = setting->memory,
		.memfd = ways[way].memfd,
		.flags = tracking != LAZYMEM_TRACKING_NONE ? LAZYMEM_ATTACH_TRACK : 0,
		.most = tracking,
	};
	struct lazy_guest guest;
	int result;

	run->pages = pages->count;
	if (lazy_guest_open(&plan, &guest) != 0)
		return -1;
	result = measure(&guest, pages, tracking, run);
	return lazy_guest_close(&guest) == 0 ? result : -1;
}

/* What tracking adds to a write, compared with the untracked way of the same kind. */
static void relate(struct measurement_run *runs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const size_t untracked = ways[i].memfd ? UNTRACKED_MEMFD : UNTRACKED;

		if (i != untracked)
			runs[i].values[EXTRA] =
				runs[i].values[WRITE] - runs[untracked].values[WRITE];
	}
}

static int prepare(const struct measurement *measurement, const struct measurement_setting *setting,
		   void **ret_state)
{
	struct dirty_pages *pages = calloc(1, sizeof(*pages));

	(void)measurement;
	if (pages == NULL || dirty_pages_create(setting->memory, 1, pages) != 0) {
		free(pages);
		return -1;
	}
	*ret_state = pages;
	return 0;
}

static void release(void *state)
{
	dirty_pages_destroy(state);
	free(state);
}

const struct measurement dirty_track = {
	.name = "track",
	.summary = "the guest's first write to a page, and asking which pages were written",
	.does = "written",
	.ways = names,
	.columns = columns,
	.prepare = prepare,
	.release = release,
	.run = run_way,
	.relate = relate,
};
