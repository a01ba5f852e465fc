/* SPDX-License-Identifier: MIT
 *
 * What any thread may ask of an attachment: a prefetch and its end, the trace,
 * the counters.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/options.h"
#include "uffd/attention.h"
#include "uffd/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* ---- prefetch */

static void run_kick(struct lm_worker *worker, struct lm_command *command)
{
	if (!command->attachment->released) /* else the job goes with the attachment */
		lm_worker_mark_busy(worker, command->attachment);
	lm_worker_end_command(worker, command);
}

static size_t range_count(const struct lazymem_prefetch *prefetch)
{
	return prefetch->trace != NULL ? lazymem_trace_count(prefetch->trace)
				       : prefetch->range_count;
}

static struct lazymem_guest_range range_at(const struct lazymem_prefetch *prefetch, size_t index)
{
	return prefetch->trace != NULL ? lazymem_trace_range(prefetch->trace, index)
				       : prefetch->ranges[index];
}

/* A range that crosses regions takes one entry in each. Regions do not overlap,
 * so counting the entries of each range exactly costs a pass over the regions. */
static size_t entries_for(const struct lazymem_attachment *attachment,
			  struct lazymem_guest_range range)
{
	size_t entries = 0;

	for (size_t i = 0; i < attachment->region_count; i++) {
		const struct lm_lazy_region *region = &attachment->regions[i];
		uint64_t last = range.start.value + (range.length - 1);

		if (range.length > 0 && range.start.value <= region->guest + (region->length - 1) &&
		    last >= region->guest)
			entries++;
	}
	return entries;
}

static int make_job(const struct lazymem_attachment *attachment,
		    const struct lazymem_prefetch *prefetch, struct lm_job **ret_job)
{
	size_t count = range_count(prefetch), entries = 0;
	struct lm_job *job;
	uint64_t end;

	if (prefetch->trace == NULL && prefetch->ranges == NULL) {
		job = lm_job_create_all(LM_JOB_PREFETCH, attachment);
	} else {
		for (size_t i = 0; i < count; i++) {
			struct lazymem_guest_range range = range_at(prefetch, i);

			if (range.length > 0 && !lm_add(range.start.value, range.length - 1, &end))
				return lm_error(-EINVAL,
						"prefetch range %zu [0x%" PRIx64 "+0x%" PRIx64
						"] wraps",
						i, range.start.value, range.length);
			entries += entries_for(attachment, range);
		}
		job = lm_job_create(LM_JOB_PREFETCH, entries);
		for (size_t i = 0; job != NULL && i < count; i++)
			lm_job_add(job, attachment, range_at(prefetch, i).start.value,
				   range_at(prefetch, i).length);
	}
	if (job == NULL)
		return lm_error(-ENOMEM, "no memory for a prefetch of %zu ranges", count);
	job->bytes_per_second = prefetch->bytes_per_second;
	*ret_job = job;
	return 0;
}

int lazymem_attachment_prefetch(struct lazymem_attachment *attachment,
				const struct lazymem_prefetch *caller_prefetch)
{
	struct lazymem_prefetch prefetch;
	struct lm_job *job = NULL;
	int error = lm_options_copy(caller_prefetch, &prefetch, sizeof(prefetch),
				    "struct lazymem_prefetch");

	if (error != 0)
		return error;
	if (prefetch.trace != NULL && prefetch.ranges != NULL)
		return lm_error(-EINVAL, "a prefetch takes ranges or a trace, not both");
	if (prefetch.ranges == NULL && prefetch.range_count > 0)
		return lm_error(-EINVAL, "a prefetch of %zu ranges at NULL", prefetch.range_count);
	error = make_job(attachment, &prefetch, &job);
	if (error != 0)
		return error;
	if (lm_slot_on_worker()) {
		free(job);
		return lm_error(-EDEADLK, "a callback on a worker cannot queue a prefetch");
	}
	lm_jobs_append(&attachment->jobs, job);
	lm_worker_call(attachment->worker,
		       &(struct lm_command){.run = run_kick, .attachment = attachment});
	return 0;
}

int lazymem_attachment_wait(struct lazymem_attachment *attachment, uint64_t timeout_ns)
{
	int error;

	if (lm_slot_on_worker())
		return lm_error(-EDEADLK, "a callback on a worker cannot wait for a prefetch");
	error = lm_jobs_wait(&attachment->jobs, lm_jobs_queued(&attachment->jobs), timeout_ns);

	if (error != 0)
		return lm_error(error, "the prefetch has not ended after %" PRIu64 " ns",
				timeout_ns);
	return 0;
}

/* ---- trace and statistics */

int lazymem_attachment_trace(struct lazymem_attachment *attachment,
			     struct lazymem_trace **ret_trace)
{
	size_t page_size = SIZE_MAX;

	if (attachment->recorder.touches == NULL)
		return lm_error(-EINVAL, "the attachment was made without LAZYMEM_ATTACH_RECORD");
	for (size_t i = 0; i < attachment->region_count; i++)
		page_size = (size_t)lm_min(page_size, attachment->regions[i].page_size);
	return lm_recorder_trace(&attachment->recorder, page_size, ret_trace);
}

int lazymem_attachment_statistics(struct lazymem_attachment *attachment,
				  struct lazymem_statistics *ret_statistics)
{
	struct lazymem_statistics statistics = {.moved = 0};

	lm_statistics_read(&attachment->statistics, &statistics);
	statistics.pages_poisoned = atomic_load(&attachment->poisoned);
	statistics.pages_total = lm_attachment_pages(attachment);
	return lm_options_return(&statistics, sizeof(statistics), ret_statistics,
				 "struct lazymem_statistics");
}
