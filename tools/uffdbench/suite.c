/* SPDX-License-Identifier: MIT */
#include "suite.h"

#include <string.h>

const struct suite suite_dirty = {
	.option = "dirty",
	.memory = 4ull << 30,
	.least = "16M",
	.least_bytes = 16ull << 20,
	.measurements =
		(const struct measurement *const[]){
			&dirty_track,
			&dirty_sync_pages,
			&dirty_sync_runs,
			&dirty_moment,
			NULL,
		},
};

const struct suite suite_post_copy = {
	.option = "post-copy",
	.memory = 2ull << 30,
	.least = "64M",
	.least_bytes = 64ull << 20,
	.measurements =
		(const struct measurement *const[]){
			&post_copy_faults,
			&post_copy_stream,
			NULL,
		},
};

const struct measurement *suite_find(const struct suite *suite, const char *name)
{
	for (size_t i = 0; suite->measurements[i] != NULL; i++) {
		if (strcmp(name, suite->measurements[i]->name) == 0)
			return suite->measurements[i];
	}
	return NULL;
}
