/* SPDX-License-Identifier: MIT
 *
 * file_object.h - an open file as a backing object: file.c opens it,
 * file_read.c reads it, file_write.c writes it.
 */
#ifndef LM_FILE_OBJECT_H
#define LM_FILE_OBJECT_H

#include "backing/block_map.h"
#include "backing/extent_map.h"
#include "backing/parts.h"

#include <lazymem/backing.h>
#include <pthread.h>
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
	uint64_t length;
	bool is_writable;
	bool has_extents;             /* else everything is data */
	struct lm_extent_map extents; /* of one that is read-only; it never changes */
	struct lm_block_map blocks;   /* of one that is writable */
	_Atomic uint64_t unstored;    /* bytes written since storage was told to begin */
	pthread_mutex_t bounce_lock;  /* one write at a time that is not aligned for direct_fd */
	struct lm_parts_pool parts;
	atomic_bool refuses_nowait;       /* RWF_NOWAIT is not to be had: do not try again */
	struct lazymem_identity identity; /* of one that is read-only; all zeros: none */
};

/* Does the file system keep larger pieces than pages together, so that zeros
 * which nobody wrote count as data? False for what is no file. */
bool lm_file_has_coarse_holes(const struct lazymem_backing *backing);

/* The read operation of a file. */
void lm_file_read(void *object, struct lazymem_read *read);

/* The operations of a file that is writable. */
void lm_file_write(void *object, struct lazymem_write *write);
void lm_file_flush(void *object, struct lazymem_write *flush);
int lm_file_discard(void *object, uint64_t offset, uint64_t length);

#endif
