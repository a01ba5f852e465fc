/* SPDX-License-Identifier: MIT
 *
 * file_object.h - an open file as a backing object: file.c opens it,
 * file_read.c reads it.
 */
#ifndef LM_FILE_OBJECT_H
#define LM_FILE_OBJECT_H

#include "backing/extent_map.h"
#include "backing/parts.h"

#include <lazymem/backing.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct lm_file {
	int fd;                    /* buffered */
	int direct_fd;             /* O_DIRECT, or -1 */
	bool asks_cache;           /* direct_fd is for what the page cache does not have */
	uint64_t memory_alignment; /* of a buffer of direct_fd: bytes, a power of two */
	uint64_t offset_alignment; /* of an offset and a length likewise */
	uint64_t start;            /* the object begins at this byte of the file */
	bool has_extents;          /* else everything is data */
	struct lm_extent_map extents;
	struct lm_parts_pool parts;
	atomic_bool refuses_nowait;       /* RWF_NOWAIT is not to be had: do not try again */
	struct lazymem_identity identity; /* all zeros: none */
};

/* Does the file system keep larger pieces than pages together, so that zeros
 * which nobody wrote count as data? False for what is no file. */
bool lm_file_has_coarse_holes(const struct lazymem_backing *backing);

/* The read operation of a file. */
void lm_file_read(void *object, struct lazymem_read *read);

#endif
