/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_order.c - a trace speaks of guest addresses, a file of pages
 * of the memory; the regions lead from one to the other.
 *
 * A range of the trace may cross regions that are neighbours for the guest and
 * apart in the memory, and lie partly outside of all of them; a page may come
 * up twice. So each range is cut by the regions, and what is left by the pages
 * that have their place already. The trace of the file is made of the same
 * pieces, so that it names exactly the pages that were laid out for it.
 */
#include "backing/snapshot_write_order.h"

#include "core/checked.h"
#include "core/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* What the pieces of a trace are cut with. */
struct cutter {
	struct lm_write_order *order;
	struct lazymem_snapshot_region *regions; /* in ascending order of their addresses */
	size_t count;
};

/* ---- pages that have their place ----------------------------------------- */

/* The first page from `page` on, below `end`, that is placed or not, as asked;
 * `end` when there is none. */
static uint64_t next(const struct lm_write_order *order, uint64_t page, uint64_t end, bool placed)
{
	while (page < end) {
		const uint64_t word = order->placed[page / 64];
		const uint64_t wanted = (placed ? word : ~word) >> page % 64;

		if (wanted != 0)
			return lm_min(end, page + (unsigned)__builtin_ctzll(wanted));
		page = (page / 64 + 1) * 64;
	}
	return end;
}

struct lm_page_run lm_write_order_rest(const struct lm_write_order *order, uint64_t page)
{
	uint64_t start;

	if (page >= order->pages)
		return (struct lm_page_run){order->pages, 0};
	if (order->placed == NULL)
		return (struct lm_page_run){page, order->pages - page};
	start = next(order, page, order->pages, false);
	return (struct lm_page_run){start, next(order, start, order->pages, true) - start};
}

/* ---- cutting ------------------------------------------------------------- */

static int add_run(struct lm_write_order *order, struct lm_page_run run)
{
	if (order->run_count != 0) {
		struct lm_page_run *last = &order->runs[order->run_count - 1];

		if (last->page + last->count == run.page) {
			last->count += run.count;
			return 0;
		}
	}
	if (order->run_count == order->run_capacity) {
		const size_t capacity = order->run_capacity != 0 ? order->run_capacity * 2 : 64;
		struct lm_page_run *runs = reallocarray(order->runs, capacity, sizeof(*runs));

		if (runs == NULL)
			return lm_error(-ENOMEM, "no memory for the order of its pages");
		order->runs = runs;
		order->run_capacity = capacity;
	}
	order->runs[order->run_count++] = run;
	return 0;
}

/* Pages of one region, which lie at `address`: those without a place get the
 * next one. */
static int place(struct lm_write_order *order, struct lm_page_run run, uint64_t address)
{
	const uint64_t end = run.page + run.count;
	uint64_t page = run.page;

	while ((page = next(order, page, end, false)) < end) {
		const uint64_t stop = next(order, page, end, true);
		const struct lazymem_guest_range range = {
			{address + (page - run.page) * LM_SNAPSHOT_PAGE},
			(stop - page) * LM_SNAPSHOT_PAGE};
		int error = add_run(order, (struct lm_page_run){page, stop - page});

		if (error == 0)
			error = lazymem_trace_append(order->trace, range);
		if (error != 0)
			return error;
		for (; page < stop; page++)
			order->placed[page / 64] |= UINT64_C(1) << page % 64;
	}
	return 0;
}

/* The first region that ends after `address`. */
static size_t find_region(const struct cutter *cutter, uint64_t address)
{
	size_t low = 0, high = cutter->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct lazymem_snapshot_region *region = &cutter->regions[middle];

		if (region->base.value + (region->length - 1) < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int cut_range(const struct cutter *cutter, struct lazymem_guest_range range)
{
	const uint64_t last = range.start.value + (range.length - 1);
	int error = 0;

	for (size_t i = find_region(cutter, range.start.value); i < cutter->count && error == 0;
	     i++) {
		const struct lazymem_snapshot_region *region = &cutter->regions[i];
		const uint64_t region_last = region->base.value + (region->length - 1);
		const uint64_t from = range.start.value > region->base.value ? range.start.value
									     : region->base.value;
		const uint64_t offset = region->offset + (from - region->base.value);

		if (region->base.value > last)
			break;
		error = place(cutter->order,
			      (struct lm_page_run){
				      offset / LM_SNAPSHOT_PAGE,
				      (lm_min(last, region_last) - from) / LM_SNAPSHOT_PAGE + 1},
			      from);
	}
	return error;
}

/* ---- the whole ----------------------------------------------------------- */

static int by_base(const void *a, const void *b)
{
	const struct lazymem_snapshot_region *left = a, *right = b;

	return lazymem_guest_address_compare(left->base, right->base);
}

/* Pieces of a trace in larger pages are still in such pages when the regions are. */
static size_t piece_size(const struct lm_write_plan *plan)
{
	const size_t size = lazymem_trace_page_size(plan->asked.trace);

	for (size_t i = 0; i < plan->region_count; i++)
		if (!lm_is_aligned(plan->regions[i].base.value, size) ||
		    !lm_is_aligned(plan->regions[i].length, size))
			return LM_SNAPSHOT_PAGE;
	return size;
}

static int cut_trace(const struct lm_write_plan *plan, const struct cutter *cutter)
{
	const struct lazymem_trace *trace = plan->asked.trace;
	int error = 0;

	qsort(cutter->regions, cutter->count, sizeof(*cutter->regions), by_base);
	for (size_t i = 0; i < lazymem_trace_count(trace) && error == 0; i++)
		error = cut_range(cutter, lazymem_trace_range(trace, i));
	return error;
}

static int lay_out(const struct lm_write_plan *plan, struct lm_write_order *order)
{
	struct cutter cutter = {.order = order, .count = plan->region_count};
	int error = lazymem_trace_create(piece_size(plan), &order->trace);

	if (error != 0)
		return error;
	lazymem_trace_bind(order->trace, &plan->identity);
	order->placed = calloc(plan->pages / 64 + 1, sizeof(*order->placed));
	cutter.regions = calloc(plan->region_count, sizeof(*cutter.regions));
	if (order->placed == NULL || cutter.regions == NULL) {
		error = lm_error(-ENOMEM, "no memory for the order of its %" PRIu64 " pages",
				 plan->pages);
	} else {
		memcpy(cutter.regions, plan->regions, plan->region_count * sizeof(*cutter.regions));
		error = cut_trace(plan, &cutter);
	}
	free(cutter.regions);
	return error;
}

int lm_write_order_create(const struct lm_write_plan *plan, struct lm_write_order *ret_order)
{
	struct lm_write_order order = {.pages = plan->pages};
	int error = 0;

	if (plan->asked.trace != NULL)
		error = lay_out(plan, &order);
	if (error != 0) {
		lm_write_order_destroy(&order);
		return lm_write_failed(plan, error);
	}
	*ret_order = order;
	return 0;
}

void lm_write_order_destroy(struct lm_write_order *order)
{
	free(order->placed);
	free(order->runs);
	lazymem_trace_destroy(order->trace);
	*order = (struct lm_write_order){0};
}
