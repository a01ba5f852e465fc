/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_sections.h - what describes the memory, after its pages.
 */
#ifndef LM_SNAPSHOT_WRITE_SECTIONS_H
#define LM_SNAPSHOT_WRITE_SECTIONS_H

#include "backing/snapshot_write_index.h"
#include "backing/snapshot_write_order.h"
#include "backing/snapshot_write_output.h"

/* Blobs and sections, up to a length of whole pages; then the header that
 * speaks of them is complete. What was put is flushed. */
int lm_write_sections(const struct lm_write_plan *plan, const struct lm_write_order *order,
		      const struct lm_write_index *index, struct lm_write_output *output,
		      struct lm_snapshot_header *ret_header);

#endif
