/* SPDX-License-Identifier: MIT
 *
 * snapshot_write.h - write a snapshot of what any backing object holds: a raw
 * image, a stack of layers, another snapshot, memory.
 */
#ifndef LAZYMEM_SNAPSHOT_WRITE_H
#define LAZYMEM_SNAPSHOT_WRITE_H

#include <lazymem/dirty.h>
#include <lazymem/snapshot.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A blob to put into a snapshot. Since 0.1. */
struct lazymem_snapshot_blob_source {
	const char *name; /* 1 to 255 bytes, no two alike */
	const void *bytes;
	size_t length; /* may be 0 */
};

/* What to write. Zero in any field but the first two means the default. Since 0.1. */
struct lazymem_snapshot_plan {
	size_t size;                    /* sizeof(struct lazymem_snapshot_plan) */
	struct lazymem_backing *source; /* the memory, regions one after the other */

	/* Base and length of each region, in the order of their bytes in `source`;
	 * `offset` is not looked at. Whole pages, no two overlap; together as long
	 * as `source`, whose last page may be cut off. NULL: one, at guest address 0. */
	const struct lazymem_snapshot_region *regions;
	size_t region_count;

	/* Write a layer: pages that are equal in the parent are left to it. It must
	 * have the same length; the layer says that it is found at parent_path,
	 * relative to its own directory unless it is absolute; or in an NBD export of
	 * this URI, which whoever opens the layer has to give. Both or none. */
	const struct lazymem_snapshot *parent;
	const char *parent_path;

	/* The working set: kept in the file, and stored first, in this order, so
	 * that replaying it is one sequential read. Parts of it outside of all
	 * regions are left out. Its binding is not looked at; in the file it is
	 * bound to the snapshot. */
	const struct lazymem_trace *trace;

	enum lazymem_chunk_kind compression; /* LAZYMEM_CHUNK_ZERO: none; LZ4 or ZSTD */
	int level;                           /* as the compression has it; 0: its default */
	size_t chunk_size; /* bytes compressed together, a power of two from 4 KiB to 256 KiB;
			    * default 4 KiB. Larger is smaller in the file, and slower for a
			    * single page */

	const struct lazymem_snapshot_blob_source *blobs;
	size_t blob_count;

	/* NULL: a new one, at random. Give that of `source` when the bytes are the
	 * same, as after rewriting or merging a snapshot: layers and traces that
	 * name it stay valid. */
	const struct lazymem_identity *identity;

	/* Now and then, on the calling thread; bytes of memory. A result that is
	 * not 0 ends the writing with -ECANCELED. May be NULL. */
	int (*progress)(void *context, uint64_t done, uint64_t total);
	void *context;

	/* With a parent: the pages that may differ from it, by guest address, all of
	 * them in `regions`. Pages outside of the set are left to the parent, and neither
	 * they nor the parent are read. NULL: every page is compared. */
	const struct lazymem_dirty *changed;
};

/* Write a snapshot to a new file at `path`, in place of one that is there, or
 * not at all: a temporary name in the same directory, fsync, rename, fsync of
 * the directory. A crash at any point leaves the old file or the new one, and
 * at worst the temporary one beside it.
 *  -EINVAL           the plan: the message says what
 *  -EPROTONOSUPPORT  a compression that this library was built without
 *  -ECANCELED        by `progress`
 *  -ENOMEM, -EOVERFLOW, -E2BIG, errors of `source` and the parent, any errno of writing
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_snapshot_write(const char *path,
					  const struct lazymem_snapshot_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
