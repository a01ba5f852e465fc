/* SPDX-License-Identifier: MIT
 *
 * parent_names.h - the option --parent of the commands that read a snapshot.
 */
#ifndef LAZYMEM_TOOL_PARENT_NAMES_H
#define LAZYMEM_TOOL_PARENT_NAMES_H

#include "source.h"

#define PARENT_NAMES_HELP                                                                          \
	"  --parent FILE       where the parent of FILE is, and then, once more for each, those\n" \
	"                      of the layers below; by default where the layers say\n"

/* The value of one more --parent. */
void parent_names_take(struct parent_names *parents, const char *name);

#endif
