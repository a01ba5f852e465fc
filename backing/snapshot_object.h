/* SPDX-License-Identifier: MIT
 *
 * snapshot_object.h - an open snapshot: the files of its stack, and the
 * backing object over them.
 *
 * The backing object owns the files, because it may live longer than the
 * snapshot, and never the other way round.
 */
#ifndef LM_SNAPSHOT_OBJECT_H
#define LM_SNAPSHOT_OBJECT_H

#include "backing/snapshot_format.h"
#include "backing/stack.h"

#include <lazymem/snapshot.h>
#include <stdatomic.h>
#include <sys/types.h>

/* A file of the stack, all of it checked but for what is read on demand: what
 * its chunks and its blobs store. */
struct lm_snapshot_file {
	char *path;
	struct lazymem_backing *backing; /* the file as it is */
	bool is_object;                  /* it was given as one, and `path` is its name */
	dev_t device;                    /* else where the file is */
	ino_t inode;
	struct lm_snapshot_header header;
	struct lazymem_snapshot_region *regions;
	size_t region_count;
	struct lm_chunk *chunks; /* in `sections` */
	size_t chunk_count;
	uint32_t *sums; /* likewise */
	char *parent_path;
	struct lazymem_trace *trace;
	struct lm_snapshot_blob *blobs;
	size_t blob_count;
	void *sections[LM_SECTION_TYPES]; /* memory of the sections; one for all that
					   * lie side by side */
};

/* The topmost first. */
struct lm_snapshot_files {
	struct lm_snapshot_file *files;
	size_t count;
	size_t capacity;
	struct lm_stack_source *sources; /* one for each file */
};

struct lazymem_snapshot {
	atomic_size_t references;
	struct lazymem_backing *backing;
	const struct lm_snapshot_files *files; /* the backing object's */
};

/* Read and check one file. flags: LAZYMEM_SNAPSHOT_*. The message begins with
 * path. (snapshot_load.c) */
int lm_snapshot_load(const char *path, unsigned flags, struct lm_snapshot_file *ret_file);

/* The same with the bytes of an object, whose name is the path. A reference to it is
 * taken. */
int lm_snapshot_load_object(struct lazymem_backing *object, struct lm_snapshot_file *ret_file);
void lm_snapshot_unload(struct lm_snapshot_file *file);

/* The bytes of a blob, for the caller to free. -EBADMSG, -ENOMEM, any errno of
 * read. (snapshot.c) */
int lm_snapshot_read_blob(const struct lm_snapshot_file *file, const struct lm_snapshot_blob *blob,
			  void **ret_bytes);

#endif
