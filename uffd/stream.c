/* SPDX-License-Identifier: MIT
 *
 * A stream: somebody goes through memory in order.
 *
 * What tells of one is a fault right behind pages that are there. As many pages as
 * these are wanted then, up to fault_ahead: so its steps double, nothing has
 * to be remembered of it, and at most half of what is read was not asked for.
 * The first pages come with the fault; the rest is a job that goes before all
 * others, since a guest is at its heels. There is one for each attachment: a
 * second stream meanwhile gets a whole piece with each fault instead.
 */
#include "uffd/stream.h"

#include "core/checked.h"
#include "uffd/attention.h"

/* What comes with the fault itself when there is more: so much that its cost is
 * spread, so little that the fault does not wait for it. */
#define AT_ONCE ((size_t)64 << 10)

bool lm_stream_is_on(const struct lazymem_attachment *attachment)
{
	const struct lm_job *stream = attachment->stream;

	return stream != NULL && stream->range < stream->range_count && !attachment->aborting &&
	       attachment->settle == NULL;
}

static bool is_free(const struct lazymem_attachment *attachment)
{
	return attachment->stream != NULL && attachment->stream->pieces == 0 &&
	       !lm_stream_is_on(attachment);
}

struct lm_reach lm_stream_reach(const struct lm_worker *worker, const struct lm_lazy_region *region,
				size_t page)
{
	const struct lm_worker_options *options = &worker->options;
	const size_t around = options->fault_around >> region->page_shift;
	const size_t piece = options->prefetch_piece;
	const size_t most = (is_free(region->attachment) && AT_ONCE < piece ? AT_ONCE : piece) >>
			    region->page_shift;
	const size_t there = lm_page_map_run_before(
		&region->map, page, options->fault_ahead >> region->page_shift, LM_PAGE_PRESENT);
	struct lm_reach reach = {.at_once = (size_t)lm_min(there, most)};

	if (reach.at_once < around)
		reach.at_once = around;
	reach.behind = there > reach.at_once ? there - reach.at_once : 0;
	return reach;
}

void lm_stream_begin(struct lm_worker *worker, struct lm_lazy_region *region, size_t page,
		     size_t count)
{
	struct lm_job *stream = region->attachment->stream;

	if (page >= region->map.count || !is_free(region->attachment))
		return;
	stream->range = stream->page = stream->narrow_range = stream->narrow_page = 0;
	stream->given_up = 0;
	stream->ends_early = false;
	stream->gathered = worker->buffer_size; /* no small ones at first: the fault had that */
	stream->range_count = 1;
	stream->ranges[0] = (struct lm_job_range){region, page,
						  (size_t)lm_min(count, region->map.count - page)};
	lm_worker_mark_busy(worker, region->attachment);
}
