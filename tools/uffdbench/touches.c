/* SPDX-License-Identifier: MIT
 *
 * The touches of a workload: room for them, and one after the other.
 */
#include "touches.h"

#include "complain.h"

#include <stdlib.h>

int workload_reserve(struct workload *workload, size_t count)
{
	workload->touches = calloc(count, sizeof(*workload->touches));
	workload->recorded = calloc(count, sizeof(*workload->recorded));
	if (workload->touches != NULL && workload->recorded != NULL)
		return 0;
	complain("no memory for a workload of %zu touches", count);
	return -1;
}

void workload_append(struct workload *workload, uint64_t offset, bool recorded)
{
	struct touch *touch = &workload->touches[workload->touch_count++];

	touch->offset = offset;
	touch->expected = pattern_first_word(workload->layout, offset);
	if (recorded)
		workload->recorded[workload->recorded_count++] = offset;
}

void workload_destroy(struct workload *workload)
{
	free(workload->touches);
	free(workload->recorded);
}
