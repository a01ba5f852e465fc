/* SPDX-License-Identifier: MIT */
#include "parent_names.h"
#include "arguments.h"

void parent_names_take(struct parent_names *parents, const char *name)
{
	if (parents->count == SOURCE_MOST_PARENTS)
		REFUSE("more than %d times --parent", SOURCE_MOST_PARENTS);
	parents->names[parents->count++] = name;
}
