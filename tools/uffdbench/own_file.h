/* SPDX-License-Identifier: MIT
 *
 * own_file.h - what an engine of the library has made beforehand, from the
 * image and the recorded set of the workload. Both become context->own.
 *
 * Results are 0, or -1 after a message.
 */
#ifndef UFFDBENCH_OWN_FILE_H
#define UFFDBENCH_OWN_FILE_H

#include "engine.h"

#include <lazymem/snapshot.h>

/* A trace of the recorded set. */
int own_file_trace(struct engine_context *context);

/* A snapshot of the image; `optimized`: with the trace in it, and its pages
 * stored first. */
int own_file_snapshot(struct engine_context *context, enum lazymem_chunk_kind compression,
		      bool optimized);

#endif
