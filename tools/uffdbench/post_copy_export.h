/* SPDX-License-Identifier: MIT
 *
 * post_copy_export.h - memory full of the pattern, which nbdkit serves over a
 * unix socket, as the source of a live migration does.
 *
 * Results are 0, or -1 after a message.
 */
#ifndef UFFDBENCH_POST_COPY_EXPORT_H
#define UFFDBENCH_POST_COPY_EXPORT_H

#include "own_name.h"

#include <stdint.h>
#include <sys/types.h>

struct post_copy_export {
	int memory; /* memfd */
	struct own_name socket;
	char *uri;
	int listener;
	pid_t server; /* nbdkit; 0: does not run */
};

/* The socket is made in a directory of its own in `directory`. */
int post_copy_export_start(uint64_t length, const char *directory,
			   struct post_copy_export *ret_export);

/* Nothing is left of it. Also of one that could not be started. */
void post_copy_export_stop(struct post_copy_export *export);

/* Does nbdkit still run? */
int post_copy_export_check(struct post_copy_export *export);

#endif
