/* SPDX-License-Identifier: MIT
 *
 * prefetch.h - what is populated before the program asks for it.
 */
#ifndef RUN_PREFETCH_H
#define RUN_PREFETCH_H

#include "memories.h"

/* Queue what the settings ask for. A trace that cannot be replayed costs time,
 * and no byte: after a message, it goes on without. 0, or the errno value of
 * the trace that was refused. */
int run_prefetch_start(const struct run_settings *settings, const struct run_opened *opened,
		       struct lazymem_attachment *attachment);

/* Queue all that is data in the images. 0, or an errno value after a message. */
int run_prefetch_all(const struct run_settings *settings, const struct run_opened *opened,
		     struct lazymem_attachment *attachment);

#endif
