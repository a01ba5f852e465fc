/* SPDX-License-Identifier: MIT
 *
 * dirty_plain.h - what anybody would write to make ranges of memory durable in
 * a file, without the library: the comparators of sync.
 */
#ifndef UFFDBENCH_DIRTY_PLAIN_H
#define UFFDBENCH_DIRTY_PLAIN_H

#include "dirty_pages.h"

enum dirty_plain {
	DIRTY_PLAIN_WRITE,  /* write each range, then one fdatasync */
	DIRTY_PLAIN_EARLY,  /* likewise, and let storage begin with what was written so far */
	DIRTY_PLAIN_DIRECT, /* past the page cache */
};

/* Write the ranges of `memory` to their places in the file, whose name is for
 * the message. The file is open for O_DIRECT for DIRTY_PLAIN_DIRECT. -1 after a message. */
int dirty_plain_sync(enum dirty_plain way, int fd, const char *name,
		     const struct dirty_pages *pages, const void *memory);

#endif
