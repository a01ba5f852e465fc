/* SPDX-License-Identifier: MIT
 *
 * engine.h - a way to get guest memory filled. Each engine is a table of
 * operations in a file of its own, listed in engine.c.
 *
 * Order of calls: prepare, then for each run start, settle and stop, at last
 * release. Those that can fail return 0, or -1 after a message.
 */
#ifndef UFFDBENCH_ENGINE_H
#define UFFDBENCH_ENGINE_H

#include "image.h"
#include "pin.h"
#include "workload.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an engine is given, and what it gives. */
struct engine_context {
	const struct engine *engine;
	const struct workload *workload;
	const struct image *image; /* NULL only for engines without a source */
	const char *directory;     /* for files of the engine's own */
	struct pin_cpus cpus;
	struct source_file own; /* a file that prepare makes, and runs read; without one,
				 * its fd stays below zero */
	void *state;            /* the engine's own, from prepare to release */
	unsigned char *memory;  /* set by start: the guest's memory, until stop */
};

/* What only the engine knows about a run. All zeros before `stop`. */
struct engine_counters {
	bool faults_known; /* false: the kernel's count of the process is taken */
	uint64_t faults;
	bool bytes_known; /* false: what the process had from devices is taken */
	uint64_t bytes_read;
	bool waits_known; /* does it tell what the faults waited for? */
	uint64_t waited;  /* of the faults: for a page that was being read already */
	uint64_t late;    /* of the faults: for a page that had come meanwhile */
};

struct engine {
	const char *name;
	const char *summary; /* one line for --help */
	const void *variant; /* for engines that share a file */
	bool needs_userfaultfd;
	bool has_source; /* its pages can be compared with the image */
	bool prefetches; /* not every touch takes a fault */

	int (*prepare)(struct engine_context *context); /* not timed; may be NULL */
	int (*start)(struct engine_context *context);   /* the clock runs */
	int (*settle)(struct engine_context *context);  /* wait until everything is filled;
							 * NULL: not everything ever is */
	int (*stop)(struct engine_context *context, struct engine_counters *counters);
	void (*release)(struct engine_context *context); /* may be NULL */
};

/* By name; NULL when there is none. */
const struct engine *engine_find(const char *name);

/* By position; NULL when index is not below their number. */
const struct engine *engine_at(size_t index);

/* Does a run without engines on the command line take this one? */
bool engine_is_default(const struct engine *engine);

#endif
