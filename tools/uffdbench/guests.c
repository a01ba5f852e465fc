/* SPDX-License-Identifier: MIT
 *
 * W7: what real guests touched, as lazymem run has recorded it. Each workload
 * has two recordings, of two runs of the same thing. The pages of one are
 * touched in their order; those of the other are the recorded set, which is
 * replayed. So the pages and the order that both have in common are as they
 * were, and nothing is made up: some pages are touched that were not recorded,
 * and some that were recorded are not touched.
 */
#include "guests.h"

#include "complain.h"
#include "guest_traces.h"
#include "scratch.h"
#include "trace_pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct guest_recording *find(const char *name)
{
	const struct guest_recording *recording;

	for (size_t i = 0; (recording = guest_recording(i)) != NULL; i++) {
		if (strcmp(name, recording->name) == 0)
			return recording;
	}
	return NULL;
}

const char *guests_name(size_t index)
{
	const struct guest_recording *recording = guest_recording(index);

	return recording != NULL ? recording->name : NULL;
}

bool guests_known(const char *name)
{
	return find(name) != NULL;
}

/* The library reads files, so that is what it gets. */
static int load(const struct guest_trace *bytes, struct lazymem_trace **ret_trace)
{
	uint64_t length = (uint64_t)(bytes->end - bytes->start);
	int fd = memfd_create(bytes->name, MFD_CLOEXEC);
	int result;

	if (fd < 0) {
		complain("no memory for trace %s: %s", bytes->name, strerror(errno));
		return -1;
	}
	result = write_all(fd, bytes->start, length, 0, bytes->name);
	if (result == 0 && lazymem_trace_load(scratch_path(fd).text, ret_trace) != 0) {
		complain("trace %s: %s", bytes->name, lazymem_error_message());
		result = -1;
	}
	close(fd);
	return result;
}

static int load_pages(const struct guest_trace *bytes, uint64_t memory,
		      struct trace_pages *ret_pages)
{
	struct lazymem_trace *trace;
	int result;

	if (load(bytes, &trace) != 0)
		return -1;
	result = trace_pages_create(bytes->name, trace, memory, ret_pages);
	lazymem_trace_destroy(trace);
	return result;
}

static int append(struct workload *workload, const struct trace_pages *replayed,
		  const struct trace_pages *touched)
{
	if (workload_reserve(workload, touched->count, replayed->count) != 0)
		return -1;
	for (size_t i = 0; i < replayed->count; i++)
		workload_record(workload, replayed->offsets[i]);
	for (size_t i = 0; i < touched->count; i++)
		workload_touch(workload, touched->offsets[i],
			       trace_pages_contain(replayed, touched->offsets[i]));
	return 0;
}

int guests_create(const char *name, struct workload *workload)
{
	const struct guest_recording *recording = find(name);
	struct trace_pages replayed = {0};
	struct trace_pages touched = {0};
	int result = -1;

	if (workload->memory == 0)
		workload->memory = recording->memory;
	workload->layout = PATTERN_DATA;
	if (load_pages(&recording->replayed, workload->memory, &replayed) == 0 &&
	    load_pages(&recording->touched, workload->memory, &touched) == 0)
		result = append(workload, &replayed, &touched);
	trace_pages_destroy(&replayed);
	trace_pages_destroy(&touched);
	return result;
}
