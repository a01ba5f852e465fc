/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_plan.h - what is to be written, checked and complete.
 */
#ifndef LM_SNAPSHOT_WRITE_PLAN_H
#define LM_SNAPSHOT_WRITE_PLAN_H

#include "backing/snapshot_format.h"

#include <lazymem/snapshot_write.h>

struct lm_write_plan {
	const char *path;
	struct lazymem_snapshot_plan asked; /* each field checked; regions and identity are below */
	uint64_t pages;
	struct lazymem_snapshot_region *regions; /* with their offsets */
	size_t region_count;
	struct lazymem_identity identity;
	struct lazymem_backing *parent; /* borrowed; NULL: none */
	struct lazymem_identity parent_identity;
	size_t chunk_size;
};

/* Check every field. On failure there is nothing to free. */
int lm_write_plan_check(const char *path, const struct lazymem_snapshot_plan *plan,
			struct lm_write_plan *ret_plan);

void lm_write_plan_destroy(struct lm_write_plan *plan);

/* How many pages from `page` on, at least 1, have all changed, or all not, as the
 * caller has told; only when he has. */
uint64_t lm_write_plan_alike(const struct lm_write_plan *plan, uint64_t page, bool *ret_changed);

/* The message there is, with the file that was to be written before it. */
int lm_write_failed(const struct lm_write_plan *plan, int error);

#endif
