/* SPDX-License-Identifier: MIT
 *
 * memories.h - the files that the program maps, and the images that they are
 * filled from, opened by us.
 */
#ifndef RUN_MEMORIES_H
#define RUN_MEMORIES_H

#include "settings.h"
#include "source.h"

#include <lazymem/memory.h>

/* One --memory. The anchor is our own mapping of the whole file: there are
 * pages put that the program has not mapped, and written what it has not. */
struct run_opened {
	int fd; /* of the file, for reading and writing; close-on-exec */
	void *anchor;
	struct source source;
	struct lazymem_region *region;
};

/* Open all of them, and make guest memory of them. 0, or an errno value after a
 * message, and nothing is left open. */
int run_memories_open(const struct run_settings *settings, struct run_opened **ret_opened,
		      struct lazymem_memory **ret_memory);

void run_memories_close(const struct run_settings *settings, struct run_opened *opened);

#endif
