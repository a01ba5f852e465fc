/* SPDX-License-Identifier: MIT
 *
 * snapshot_write_pages.h - pages of the source become chunks of the file.
 */
#ifndef LM_SNAPSHOT_WRITE_PAGES_H
#define LM_SNAPSHOT_WRITE_PAGES_H

#include "backing/codec.h"
#include "backing/snapshot_write_index.h"
#include "backing/snapshot_write_order.h"
#include "backing/snapshot_write_output.h"

struct lm_write_pages {
	const struct lm_write_plan *plan;
	struct lm_write_index *index;
	struct lm_write_output *output;
	struct lm_codec_context codec;
	unsigned char *source;            /* a piece of the source */
	struct lazymem_backing *compared; /* the parent; NULL: there is none, or no need to look */
	unsigned char *parent;            /* the same of it */
	unsigned char *packed;            /* a chunk, compressed */
	uint64_t done;                    /* pages */
};

/* -ENOMEM, and nothing to free. */
int lm_write_pages_begin(const struct lm_write_plan *plan, struct lm_write_index *index,
			 struct lm_write_output *output, struct lm_write_pages *ret_pages);

void lm_write_pages_destroy(struct lm_write_pages *pages);

/* Store a run; no chunk goes beyond it. */
int lm_write_pages_run(struct lm_write_pages *pages, struct lm_page_run run);

#endif
