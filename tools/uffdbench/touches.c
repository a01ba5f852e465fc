/* SPDX-License-Identifier: MIT
 *
 * The touches of a workload: room for them, and one after the other.
 */
#include "touches.h"

#include "complain.h"

#include <stdlib.h>

int workload_reserve(struct workload *workload, size_t touch_count, size_t recorded_count)
{
	workload->touches = calloc(touch_count, sizeof(*workload->touches));
	workload->recorded = calloc(recorded_count, sizeof(*workload->recorded));
	if (workload->touches != NULL && workload->recorded != NULL)
		return 0;
	complain("no memory for a workload of %zu touches", touch_count);
	return -1;
}

void workload_touch(struct workload *workload, uint64_t offset, bool recorded)
{
	struct touch *touch = &workload->touches[workload->touch_count++];

	touch->offset = offset;
	touch->expected = pattern_first_word(workload->layout, offset);
	touch->recorded = recorded;
}

void workload_record(struct workload *workload, uint64_t offset)
{
	workload->recorded[workload->recorded_count++] = offset;
}

void workload_append(struct workload *workload, uint64_t offset, bool recorded)
{
	workload_touch(workload, offset, recorded);
	if (recorded)
		workload_record(workload, offset);
}

size_t workload_recorded_touches(const struct workload *workload)
{
	size_t count = 0;

	for (size_t i = 0; i < workload->touch_count; i++)
		count += workload->touches[i].recorded;
	return count;
}

void workload_destroy(struct workload *workload)
{
	free(workload->touches);
	free(workload->recorded);
}
