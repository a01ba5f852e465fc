/* SPDX-License-Identifier: MIT
 *
 * The owner's side of letting go: a last job, then rest (settle.c), then what
 * needs no worker any more.
 */
#include "core/error.h"
#include "uffd/attention.h"
#include "uffd/collapse.h"
#include "uffd/command.h"
#include "uffd/write_back.h"

#include <errno.h>
#include <inttypes.h>

static void run_settle(struct lm_worker *worker, struct lm_command *command)
{
	command->attachment->settle = command;
	lm_worker_mark_busy(worker, command->attachment);
}

static void run_hurry(struct lm_worker *worker, struct lm_command *command)
{
	struct lazymem_attachment *attachment = command->attachment;

	lm_jobs_lift_limits(&attachment->jobs);
	lm_worker_mark_busy(worker, attachment);
	lm_worker_end_command(worker, command);
}

static void run_abort(struct lm_worker *worker, struct lm_command *command)
{
	command->attachment->aborting = true;
	run_hurry(worker, command);
}

/* Append a job, tell the worker, and wait for its end. */
static void run_job(struct lazymem_attachment *attachment, struct lm_job *job,
		    void (*start)(struct lm_worker *, struct lm_command *))
{
	struct lm_command command = {.run = start, .attachment = attachment};
	uint64_t number = lm_jobs_append(&attachment->jobs, job);

	lm_worker_call(attachment->worker, &command);
	lm_jobs_wait(&attachment->jobs, number, UINT64_MAX);
}

static int refuse_incomplete(const struct lm_command *command)
{
	const struct lm_lazy_region *region = &command->attachment->regions[command->region];
	bool poisoned = lm_page_map_get(&region->map, command->page) == LM_PAGE_POISONED;

	return lm_error(-EIO, "page at guest address 0x%" PRIx64 " %s: byte %" PRIu64 " of %s",
			lm_lazy_region_guest(region, command->page),
			poisoned ? "is poisoned" : "could not be read",
			lm_lazy_region_offset(region, command->page),
			lazymem_backing_name(region->backing));
}

int lazymem_attachment_finish(struct lazymem_attachment *attachment)
{
	struct lm_command settle = {.run = run_settle, .attachment = attachment, .checks = true};
	struct lm_job *fill = lm_job_create_all(LM_JOB_FILL, attachment);

	if (fill == NULL)
		return lm_error(-ENOMEM, "no memory for the job that fills an attachment");
	run_job(attachment, fill, run_hurry);
	if (lm_write_back_is_on(attachment)) {
		const int error = lm_write_back_sync_all(attachment);

		if (error != 0)
			return error;
	}
	if (lm_worker_call(attachment->worker, &settle) != 0)
		return refuse_incomplete(&settle);
	for (size_t i = 0; i < attachment->region_count; i++)
		lm_collapse_rest(&attachment->regions[i], &attachment->statistics);
	lm_attachment_free(attachment);
	return 0;
}

void lazymem_attachment_abort(struct lazymem_attachment *attachment)
{
	struct lm_command settle = {.run = run_settle, .attachment = attachment};
	struct lm_job *poison = attachment->poison_job;

	/* As unmapping a shared file loses nothing. What fails is lost: nobody can be told. */
	if (lm_write_back_is_on(attachment))
		(void)lm_write_back_sync_all(attachment);
	attachment->poison_job = NULL; /* the queue owns it from here on */
	run_job(attachment, poison, run_abort);
	lm_worker_call(attachment->worker, &settle);
	lm_attachment_free(attachment);
}
