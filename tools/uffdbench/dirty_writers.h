/* SPDX-License-Identifier: MIT
 *
 * dirty_writers.h - threads that write guest memory until they are told to stand
 * still, and what they have written by then.
 */
#ifndef UFFDBENCH_DIRTY_WRITERS_H
#define UFFDBENCH_DIRTY_WRITERS_H

#include "dirty_pages.h"

struct dirty_writers;

/* Each thread writes its share of the pages, one after the other and over and
 * over, `per_second` pages all together; 0: as fast as they can. The first round
 * is as fast as they can. -1 after a message. */
int dirty_writers_start(const struct dirty_pages *pages, void *memory, uint64_t per_second,
			struct dirty_writers **ret_writers);

/* Wait until every page was written once. */
void dirty_writers_wait(struct dirty_writers *writers);

/* Have them stand still, and let them go on. Between the two, and after, what each
 * page holds is known as it was at the last stop. */
void dirty_writers_stop(struct dirty_writers *writers);
void dirty_writers_go(struct dirty_writers *writers);

/* Call `see` for every page with the stamp (see dirty_pages.h) that it was last
 * written with before the last stop. */
void dirty_writers_each(const struct dirty_writers *writers,
			void (*see)(void *context, uint64_t offset, uint64_t stamp), void *context);

/* End them. NULL is allowed. */
void dirty_writers_end(struct dirty_writers *writers);

#endif
