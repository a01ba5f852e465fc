/* SPDX-License-Identifier: MIT
 *
 * Which attachments the worker has to look at: a list of those that are
 * readable, a queue of those that have work which no fault asked for. An idle
 * attachment is in neither, so a thousand of them cost nothing. The worker's own.
 */
#include "uffd/attention.h"

void lm_worker_mark_readable(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	if (attachment->readable)
		return;
	attachment->readable = true;
	attachment->next_readable = worker->readable;
	worker->readable = attachment;
}

void lm_worker_mark_busy(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	if (attachment->busy)
		return;
	attachment->busy = true;
	attachment->next_busy = NULL;
	if (worker->last_busy != NULL)
		worker->last_busy->next_busy = attachment;
	else
		worker->busy = attachment;
	worker->last_busy = attachment;
}

struct lazymem_attachment *lm_worker_take_busy(struct lm_worker *worker)
{
	struct lazymem_attachment *attachment = worker->busy;

	worker->busy = attachment->next_busy;
	if (worker->busy == NULL)
		worker->last_busy = NULL;
	attachment->busy = false;
	return attachment;
}

void lm_worker_forget(struct lm_worker *worker, struct lazymem_attachment *attachment)
{
	struct lazymem_attachment **link = &worker->readable;
	struct lazymem_attachment *last = worker->last_busy, *taken;

	while (*link != NULL && *link != attachment)
		link = &(*link)->next_readable;
	if (*link != NULL)
		*link = attachment->next_readable;
	attachment->readable = false;
	if (worker->last_read == attachment)
		worker->last_read = NULL;
	if (!attachment->busy)
		return;
	do { /* once round the queue, leaving this one out */
		taken = lm_worker_take_busy(worker);
		if (taken != attachment)
			lm_worker_mark_busy(worker, taken);
	} while (taken != last);
}
