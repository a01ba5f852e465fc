/* SPDX-License-Identifier: MIT
 *
 * A prefetch is asked for: checked, made a job of, and queued.
 *
 * Ranges become entries of a job, one for each region that they cross, until
 * total_bytes are used up. The entry in which populate_bytes end is cut in two:
 * from there on the job only reads ahead.
 *
 * A trace that is bound to another image would fetch the wrong pages first: no
 * wrong bytes, but a slow restore that nobody understands. It is refused.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/identity.h"
#include "core/memory.h"
#include "core/options.h"
#include "uffd/attention.h"
#include "uffd/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

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

static int count_entries(const struct lazymem_attachment *attachment,
			 const struct lazymem_prefetch *prefetch, size_t *ret_entries)
{
	size_t entries = 1; /* one is cut in two */
	uint64_t end;

	for (size_t i = 0; i < range_count(prefetch); i++) {
		struct lazymem_guest_range range = range_at(prefetch, i);

		if (range.length > 0 && !lm_add(range.start.value, range.length - 1, &end))
			return lm_error(-EINVAL,
					"prefetch range %zu [0x%" PRIx64 "+0x%" PRIx64 "] wraps", i,
					range.start.value, range.length);
		entries += entries_for(attachment, range);
	}
	*ret_entries = entries;
	return 0;
}

static struct lm_job *job_of_ranges(const struct lazymem_attachment *attachment,
				    const struct lazymem_prefetch *prefetch, size_t entries)
{
	struct lm_job *job = lm_job_create(LM_JOB_PREFETCH, entries);

	for (size_t i = 0; job != NULL && i < range_count(prefetch); i++)
		lm_job_add(job, attachment, range_at(prefetch, i).start.value,
			   range_at(prefetch, i).length);
	return job;
}

static int make_job(const struct lazymem_attachment *attachment,
		    const struct lazymem_prefetch *prefetch, struct lm_job **ret_job)
{
	struct lm_job *job;
	size_t entries = 0;
	int error = 0;

	if (prefetch->trace == NULL && prefetch->ranges == NULL) {
		job = lm_job_create_all(LM_JOB_PREFETCH, attachment);
	} else {
		error = count_entries(attachment, prefetch, &entries);
		if (error != 0)
			return error;
		job = job_of_ranges(attachment, prefetch, entries);
	}
	if (job == NULL)
		return lm_error(-ENOMEM, "no memory for a prefetch of %zu ranges",
				range_count(prefetch));
	lm_job_limit(job, prefetch->populate_bytes, prefetch->total_bytes);
	job->bytes_per_second = prefetch->bytes_per_second;
	*ret_job = job;
	return 0;
}

/* A snapshot's own trace is bound to the snapshot, which may be one of several
 * sources of the memory, with a ROM or fresh zeros beside it. */
static int check_trace(const struct lazymem_attachment *attachment,
		       const struct lazymem_trace *trace)
{
	struct lazymem_identity bound = lazymem_trace_identity(trace), own;

	if (lm_identity_is_none(&bound) || lm_memory_has_image(attachment->memory, &bound))
		return 0;
	if (lazymem_memory_identity(attachment->memory, &own) != 0)
		return lm_error(-ESTALE, "the trace is bound to an image, and it cannot be told "
					 "whether this memory is that one");
	return lm_error(-ESTALE, "the trace is bound to another image than that of this memory");
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
	error = prefetch.trace != NULL ? check_trace(attachment, prefetch.trace) : 0;
	if (error == 0)
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
