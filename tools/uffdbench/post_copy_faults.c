/* SPDX-License-Identifier: MIT
 *
 * W6: what a fault over NBD takes, and what it takes while everything else is
 * being brought at full rate over the same link, as after the switch-over of a
 * live migration. Both ways have the same rate of touches. Alone, there are so many
 * of them; with the stream, they go on until it has brought everything, and
 * those that find their page there already count in neither way.
 */
#include "clock.h"
#include "complain.h"
#include "measurement.h"
#include "pattern.h"
#include "post_copy_arrivals.h"
#include "post_copy_guest.h"
#include "samples.h"

#include <stdlib.h>

#define TOUCHES_PER_SECOND 1000.0
#define TOUCHES_ALONE 4000u

/* Of each so many pages one is touched at most, alone: what is touched twice tells nothing. */
#define PAGES_PER_TOUCH 8u

/* Room for touches of a stream that takes so long; then they end. */
#define STREAM_SECONDS_MOST 120u

enum { ALONE, STREAM };

static const char *const names[] = {"alone", "stream", NULL};

enum { P50, P90, P99, MAX, FAULTS, RATE, RATIO };

static const struct measurement_column columns[] = {
	[P50] = {"p50_ns", "p50", UNIT_NS},
	[P90] = {"p90_ns", "p90", UNIT_NS},
	[P99] = {"p99_ns", "p99", UNIT_NS},
	[MAX] = {"max_ns", "max", UNIT_NS},
	[FAULTS] = {"faults", "faults", UNIT_COUNT},
	[RATE] = {"stream_bytes_per_second", "stream", UNIT_RATE},
	[RATIO] = {"p99_to_alone", "p99/alone", UNIT_RATIO},
	{NULL, NULL, UNIT_NS},
};

static int start_touching(const struct lazy_guest *guest, size_t way,
			  const struct measurement_run *run,
			  struct post_copy_arrivals **ret_arrivals)
{
	const size_t pages = run->memory / PAGE_BYTES;
	size_t count = TOUCHES_ALONE;

	if (way == STREAM)
		count = (size_t)TOUCHES_PER_SECOND * STREAM_SECONDS_MOST;
	else if (count > pages / PAGES_PER_TOUCH)
		count = pages / PAGES_PER_TOUCH;
	return post_copy_arrivals_start(guest->host, run->memory, count, TOUCHES_PER_SECOND,
					run->repeat, ret_arrivals);
}

/* Until there have been enough touches, or everything is there. */
static int play(const struct lazy_guest *guest, size_t way, struct measurement_run *run,
		struct post_copy_touches *ret_touches)
{
	const uint64_t start_ns = clock_ns();
	struct post_copy_arrivals *arrivals;
	int result = way == STREAM ? post_copy_guest_stream(guest) : 0;

	if (result != 0 || start_touching(guest, way, run, &arrivals) != 0)
		return -1;
	if (way == STREAM) {
		result = post_copy_guest_wait(guest);
		run->values[RATE] =
			(double)run->memory * NS_PER_SECOND / (double)(clock_ns() - start_ns);
	} else {
		post_copy_arrivals_wait(arrivals);
	}
	if (post_copy_arrivals_end(arrivals, ret_touches) != 0)
		return -1;
	return result;
}

static int sum_up(const struct lazy_guest *guest, const struct post_copy_touches *touches,
		  struct measurement_run *run)
{
	const struct latency_summary summary =
		samples_summarize(touches->samples, touches->faulted);

	if (touches->faulted == 0) {
		complain("%s: no touch found its page missing; try more --memory", guest->name);
		return -1;
	}
	run->values[P50] = (double)summary.p50_ns;
	run->values[P90] = (double)summary.p90_ns;
	run->values[P99] = (double)summary.p99_ns;
	run->values[MAX] = (double)summary.max_ns;
	run->values[FAULTS] = (double)touches->faulted;
	run->wrong = touches->wrong;
	return 0;
}

/* What was left is brought as well, so that every page can be looked at. */
static int check(const struct lazy_guest *guest, struct measurement_run *run)
{
	if (lazy_guest_populate(guest) != 0)
		return -1;
	run->wrong += post_copy_count_wrong(guest->host, run->memory);
	return 0;
}

static int run_way(void *opaque, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run)
{
	struct post_copy_touches touches = {0};
	struct post_copy_export *export = opaque;
	struct lazy_guest guest;
	int result;

	(void)setting;
	run->pages = run->memory / PAGE_BYTES;
	if (post_copy_export_check(export) != 0 ||
	    post_copy_guest_open(export, run->way, false, run->memory, &guest) != 0)
		return -1;
	result = play(&guest, way, run, &touches);
	if (result == 0)
		result = sum_up(&guest, &touches, run);
	samples_destroy(touches.samples, touches.room);
	if (result == 0)
		result = check(&guest, run);
	return lazy_guest_close(&guest) | result;
}

static void relate(struct measurement_run *runs, size_t count)
{
	for (size_t i = 0; i < count && !runs[ALONE].failed; i++)
		runs[i].values[RATIO] = runs[i].values[P99] / runs[ALONE].values[P99];
}

const struct measurement post_copy_faults = {
	.name = "faults",
	.summary = "faults over NBD, with and without everything else being brought",
	.does = "brought",
	.ways = names,
	.columns = columns,
	.prepare = post_copy_prepare,
	.release = post_copy_release,
	.run = run_way,
	.relate = relate,
};
