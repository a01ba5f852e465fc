/* SPDX-License-Identifier: MIT
 *
 * What any thread may ask of an attachment: the trace and the counters.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/options.h"
#include "uffd/attachment.h"

#include <errno.h>

int lazymem_attachment_trace(struct lazymem_attachment *attachment,
			     struct lazymem_trace **ret_trace)
{
	struct lazymem_identity identity;
	struct lazymem_trace *trace = NULL;
	size_t page_size = SIZE_MAX;
	int error;

	if (attachment->recorder.touches == NULL)
		return lm_error(-EINVAL, "the attachment was made without LAZYMEM_ATTACH_RECORD");
	for (size_t i = 0; i < attachment->region_count; i++)
		page_size = (size_t)lm_min(page_size, attachment->regions[i].page_size);
	error = lm_recorder_trace(&attachment->recorder, page_size, &trace);
	if (error != 0)
		return error;
	if (lazymem_memory_identity(attachment->memory, &identity) == 0)
		lazymem_trace_bind(trace, &identity);
	*ret_trace = trace;
	return 0;
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
