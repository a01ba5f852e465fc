/* SPDX-License-Identifier: MIT
 *
 * snapshot_bytes.h - where the bytes of a snapshot file come from while it is
 * opened: a file of this machine, or any backing object.
 */
#ifndef LM_SNAPSHOT_BYTES_H
#define LM_SNAPSHOT_BYTES_H

#include "backing/snapshot_format.h"

#include <lazymem/backing.h>
#include <sys/types.h>

struct lm_snapshot_bytes {
	struct lazymem_backing *object; /* NULL: a file */
	int fd;                         /* of the file; -1: an object */
	dev_t device;
	ino_t inode;
	uint64_t length; /* of all there is */
};

/* The file at `path`, which must be a regular one, or `object`, to which a reference is
 * taken. There are enough bytes for a header. Messages say what is wrong, and not with
 * what. -EBADMSG, -EISDIR, -EINVAL, any errno of open. */
int lm_snapshot_bytes_of_file(const char *path, struct lm_snapshot_bytes *ret_bytes);
int lm_snapshot_bytes_of_object(struct lazymem_backing *object,
				struct lm_snapshot_bytes *ret_bytes);

/* Tolerates what could not be opened. */
void lm_snapshot_bytes_close(struct lm_snapshot_bytes *bytes);

/* Of these bytes the snapshot is so many, as far as the header, which nobody has checked
 * yet, may decide that: all of a file, the beginning of an object. */
uint64_t lm_snapshot_bytes_extent(const struct lm_snapshot_bytes *bytes, const void *header);

/* Begin to fetch what will be asked for next. */
void lm_snapshot_bytes_announce(const struct lm_snapshot_bytes *bytes);

/* -EBADMSG for bytes that are not there, -ENOMEM, any errno of read. */
int lm_snapshot_bytes_read(const struct lm_snapshot_bytes *bytes, void *buffer, size_t length,
			   uint64_t offset);

/* Memory to read a section to, for the caller to free. NULL: none. */
void *lm_snapshot_bytes_take_memory(const struct lm_snapshot_bytes *bytes, uint64_t length);

/* A few bytes on a disk can be a file of any length, with a section that takes all
 * memory before its checksum is known to be wrong: a section must not be a hole. */
int lm_snapshot_bytes_check_holes(const struct lm_snapshot_bytes *bytes,
				  const struct lm_snapshot_header *header);

/* The object that memory is read from later on: `length` bytes. flags: LAZYMEM_SNAPSHOT_*. */
int lm_snapshot_bytes_keep(const struct lm_snapshot_bytes *bytes, const char *path, unsigned flags,
			   uint64_t length, struct lazymem_backing **ret_backing);

#endif
