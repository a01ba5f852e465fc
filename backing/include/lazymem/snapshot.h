/* SPDX-License-Identifier: MIT
 *
 * snapshot.h - open a snapshot: guest memory in a file of our own format, with
 * its regions, a checksum for each page, the monitor's own state, the working
 * set of an earlier run, and, for a layer, the name of its parent. The format
 * is in lazymem-snapshot(5); snapshot_write.h makes one.
 */
#ifndef LAZYMEM_SNAPSHOT_H
#define LAZYMEM_SNAPSHOT_H

#include <lazymem/backing.h>
#include <lazymem/trace.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lazymem_snapshot;

/* What a run of pages is stored as. The numbers are those of the file. Since 0.1. */
enum lazymem_chunk_kind {
	LAZYMEM_CHUNK_ZERO = 0,   /* not stored */
	LAZYMEM_CHUNK_PARENT = 1, /* not stored: as in the parent */
	LAZYMEM_CHUNK_RAW = 2,    /* as it is, aligned to the page size */
	LAZYMEM_CHUNK_LZ4 = 3,    /* an LZ4 block */
	LAZYMEM_CHUNK_ZSTD = 4,   /* a zstd frame */
};
#define LAZYMEM_CHUNK_KINDS 5

/* Can chunks of this kind be read and written by this build? Any thread. Since 0.1. */
LAZYMEM_PUBLIC bool lazymem_snapshot_supports(enum lazymem_chunk_kind kind);

/* Flags of struct lazymem_snapshot_options. */
#define LAZYMEM_SNAPSHOT_DIRECT (1u << 0)           /* O_DIRECT, as LAZYMEM_FILE_DIRECT */
#define LAZYMEM_SNAPSHOT_CACHED_OR_DIRECT (1u << 1) /* as LAZYMEM_FILE_CACHED_OR_DIRECT */

/* How a snapshot is opened. NULL in place of a pointer to it means the
 * defaults. Since 0.1. */
struct lazymem_snapshot_options {
	size_t size;    /* sizeof(struct lazymem_snapshot_options) */
	unsigned flags; /* LAZYMEM_SNAPSHOT_* */
	/* Where the parents are: that of the file itself first, then that of the
	 * parent. Those beyond parent_count are looked for where the layer above
	 * says, relative to its own directory. */
	const char *const *parents;
	size_t parent_count;
};

/* Open the file at `path`, and its parents. Everything that describes the
 * memory is read and checked now; the memory itself, page by page, when it is
 * read. The files must not change while they are open.
 *  -EBADMSG          it is no snapshot, or a damaged or truncated one
 *  -EPROTONOSUPPORT  a version, a feature or a compression that this library does not have
 *  -ESTALE           the parent that was found has another identity
 *  -ELOOP            a file is its own ancestor
 *  -ENOENT           a file is not there; or a layer says that its parent is an NBD export,
 *                    to which nobody connects because a file says so
 *  -EISDIR, -EINVAL (no path, no regular file, an unknown flag), -E2BIG, -ENOMEM, any errno
 * of open and read; those of a parent's file too, named in the message.
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_snapshot_open(const char *path,
					 const struct lazymem_snapshot_options *options,
					 struct lazymem_snapshot **ret_snapshot);

/* Open a snapshot whose files are backing objects, such as exports of an NBD server:
 * `count` of them, the topmost first, then its parent, and so on to the last, as many
 * as there are layers (where a layer says that its parent is means nothing here). What
 * has the bytes of a snapshot from its first one on is one: an export or a device may be
 * longer than the file that was put on it. The objects must not change. A reference is
 * taken to each of them, for as long as the snapshot or its backing object is there.
 * Where lazymem_snapshot_open has a path, it has the name of an object.
 *  -EBADMSG, -EPROTONOSUPPORT  as above
 *  -ESTALE           an object is not the parent of the one before it: perhaps they are in
 *                    another order
 *  -ELOOP            an object is given twice, or is its own ancestor
 *  -ENOENT           the last one has a parent
 *  -EINVAL           there are more objects than layers, or none
 *  -ENOMEM, and what the objects answer when they are read
 * Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_snapshot_open_objects(struct lazymem_backing *const *files, size_t count,
						 struct lazymem_snapshot **ret_snapshot);

/* One more reference; returns snapshot. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_snapshot *lazymem_snapshot_ref(struct lazymem_snapshot *snapshot);

/* One reference less. NULL is allowed. Its backing object lives on while
 * somebody has a reference to that. Any thread. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_snapshot_unref(struct lazymem_snapshot *snapshot);

/* The memory, as one flat array: the regions one after the other. A read of a
 * page whose checksum is not the one in the file fails with -EBADMSG, and
 * delivers nothing. Borrowed. Any thread. Since 0.1. */
LAZYMEM_PUBLIC struct lazymem_backing *
lazymem_snapshot_backing(const struct lazymem_snapshot *snapshot);

/* A region of guest memory. Since 0.1. */
struct lazymem_snapshot_region {
	lazymem_guest_address base;
	uint64_t length; /* bytes, whole pages */
	uint64_t offset; /* of its first byte in the backing object */
};

/* The regions, in the order of their offsets, which need not be that of their
 * addresses; at least one. `index` is below the count. Any thread. Since 0.1. */
LAZYMEM_PUBLIC size_t lazymem_snapshot_region_count(const struct lazymem_snapshot *snapshot);
LAZYMEM_PUBLIC struct lazymem_snapshot_region
lazymem_snapshot_region_at(const struct lazymem_snapshot *snapshot, size_t index);

/* The working set of an earlier run, in guest addresses, bound to this
 * snapshot. Borrowed; NULL when the file has none. Any thread. Since 0.1. */
LAZYMEM_PUBLIC const struct lazymem_trace *
lazymem_snapshot_trace(const struct lazymem_snapshot *snapshot);

/* The monitor's own state: named blobs. The name at `index` (below the count;
 * borrowed) and its length in bytes. Any thread. Since 0.1. */
LAZYMEM_PUBLIC size_t lazymem_snapshot_blob_count(const struct lazymem_snapshot *snapshot);
LAZYMEM_PUBLIC const char *lazymem_snapshot_blob_name(const struct lazymem_snapshot *snapshot,
						      size_t index);
LAZYMEM_PUBLIC uint64_t lazymem_snapshot_blob_length(const struct lazymem_snapshot *snapshot,
						     size_t index);

/* Read the blob `name`: its bytes, for the caller to free, and their number.
 * -ENOENT when there is none, -EBADMSG when it is damaged, -ENOMEM, any errno
 * of read. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_snapshot_blob(const struct lazymem_snapshot *snapshot, const char *name,
					 void **ret_bytes, size_t *ret_length);

/* What one file of the stack holds. Since 0.1. */
struct lazymem_snapshot_layer {
	size_t size;      /* sizeof(struct lazymem_snapshot_layer) */
	const char *path; /* borrowed, as long as the snapshot is referenced; the name of an
			   * object */
	struct lazymem_identity identity;
	struct lazymem_identity parent; /* all zeros: none */
	const char *parent_path;        /* as the file says; NULL: none */
	uint64_t file_length;           /* bytes */
	uint64_t chunk_count;
	uint64_t pages[LAZYMEM_CHUNK_KINDS];  /* by kind */
	uint64_t stored[LAZYMEM_CHUNK_KINDS]; /* bytes in the file, by kind */
};

/* The files of the stack: 0 is the one that was opened, then its parent, and
 * so on. -EINVAL for an index that is not below the count, or a size below
 * sizeof(size_t). Any thread. Since 0.1. */
LAZYMEM_PUBLIC size_t lazymem_snapshot_layer_count(const struct lazymem_snapshot *snapshot);
LAZYMEM_PUBLIC int lazymem_snapshot_layer_at(const struct lazymem_snapshot *snapshot, size_t index,
					     struct lazymem_snapshot_layer *ret_layer);

/* A run of pages that does not match its checksum, or could not be read or
 * decoded; or a blob, which has no address. Since 0.1. */
struct lazymem_snapshot_damage {
	size_t layer;                  /* index, as above */
	const char *blob;              /* its name; NULL: pages. Borrowed for the call */
	lazymem_guest_address address; /* of the first byte */
	uint64_t length;               /* bytes */
	uint64_t file_offset;          /* of what is stored */
	int error;                     /* negative errno value */
};

/* How a snapshot is verified. NULL in place of a pointer to it means the
 * defaults. The callbacks run on the calling thread. Since 0.1. */
struct lazymem_snapshot_verify_options {
	size_t size;      /* sizeof(struct lazymem_snapshot_verify_options) */
	unsigned threads; /* default: one for each CPU, at most 16 */
	/* Now and then; bytes of memory. May be NULL. */
	void (*progress)(void *context, uint64_t done, uint64_t total);
	/* For each damage. May be NULL. */
	void (*damage)(void *context, const struct lazymem_snapshot_damage *damage);
	void *context;
};

/* Read every page that is stored in any file of the stack, also those that a
 * layer above replaces, and every blob, and compare the checksums. -EBADMSG
 * when something is damaged (the message names the first), -EINVAL, -E2BIG,
 * -EAGAIN, -ENOMEM, any errno of read. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_snapshot_verify(const struct lazymem_snapshot *snapshot,
					   const struct lazymem_snapshot_verify_options *options);

#ifdef __cplusplus
}
#endif
#endif
