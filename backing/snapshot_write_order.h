/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_order.h - in which order the pages go into the file: those of
 * the trace first, in its order, then the others in that of the memory.
 */
#ifndef LM_SNAPSHOT_WRITE_ORDER_H
#define LM_SNAPSHOT_WRITE_ORDER_H

#include "backing/snapshot_write_plan.h"

#include <lazymem/trace.h>

/* `count` pages from `page` on, neighbours in the memory. */
struct lm_page_run {
	uint64_t page;
	uint64_t count;
};

/* Invariant: a page has its bit in `placed` exactly when it is in one of the
 * runs, and it is in one of them only. Without a trace all is empty. */
struct lm_write_order {
	uint64_t pages;
	uint64_t *placed;
	struct lm_page_run *runs; /* of the trace, in its order */
	size_t run_count;
	size_t run_capacity;
	struct lazymem_trace *trace; /* as the file is to have it; NULL: none */
};

/* On failure there is nothing to free. */
int lm_write_order_create(const struct lm_write_plan *plan, struct lm_write_order *ret_order);

void lm_write_order_destroy(struct lm_write_order *order);

/* The next run at or after `page` of pages that the trace does not have; its
 * count is zero when there is none. */
struct lm_page_run lm_write_order_rest(const struct lm_write_order *order, uint64_t page);

#endif
