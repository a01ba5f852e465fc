/* SPDX-License-Identifier: MIT
 *
 * stream.h - reading ahead of whoever goes through memory in order.
 */
#ifndef LM_STREAM_H
#define LM_STREAM_H

#include "uffd/worker_state.h"

/* How many pages a fault brings at once, and how many more are wanted behind
 * them: `around` at least, and in a stream as many as are there before it. */
struct lm_reach {
	size_t at_once;
	size_t behind;
};

struct lm_reach lm_stream_reach(const struct lm_worker *worker, const struct lm_lazy_region *region,
				size_t page);

/* Have `count` pages from `page` on read by and by, unless a stream is under way. */
void lm_stream_begin(struct lm_worker *worker, struct lm_lazy_region *region, size_t page,
		     size_t count);

/* Is there something left to be read of a stream? */
bool lm_stream_is_on(const struct lazymem_attachment *attachment);

#endif
