/* SPDX-License-Identifier: MIT
 *
 * overlay.h - a writable layer over a backing object that stays as it is: what
 * is written goes to a file of its own, what was not written is read from below.
 * The file is described in lazymem-overlay(5).
 */
#ifndef LAZYMEM_OVERLAY_H
#define LAZYMEM_OVERLAY_H

#include <lazymem/backing.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Flags of struct lazymem_overlay_options. */

/* The file must be there, and is only read: the object cannot be written. Several
 * may be open so at once, while nobody has it open to write. */
#define LAZYMEM_OVERLAY_READ_ONLY (1u << 0)

/* How an overlay is opened. NULL in place of a pointer to it means the defaults.
 * Since 0.1. */
struct lazymem_overlay_options {
	size_t size;    /* sizeof(struct lazymem_overlay_options) */
	unsigned flags; /* LAZYMEM_OVERLAY_* */

	/* What the base is known by; NULL: what it says itself. For a base that cannot
	 * tell, or that says something new of the same bytes: it is the caller who
	 * answers for it then. */
	const struct lazymem_identity *base_identity;
};

/* Open the overlay in the file at `path` over `base`, or make one where no file is
 * there. The object is as long as `base`, of which it takes a reference, and
 * which must not change as long as there is an overlay over it. It can be written
 * and discarded from; blocks of 4 KiB that were not are read from `base`. When a
 * flush has completed with 0, the file holds what was written before it, whatever
 * becomes of the process or the machine. What was not flushed is, block by block
 * and after a crash of the machine sector by sector, as before or as written.
 * After a flush that failed, blocks that were written for the first time since
 * the last good one read as before. The last reference flushes, and tells nobody
 * if it fails.
 *
 * The file is bound to what `base` is known by. The object is known by the same as
 * long as nothing was written, and by nothing (-ENODATA) from then on. A discard
 * that does not begin and end at a block answers -EBUSY when that block is being
 * written as a whole at the same time.
 *  -EBUSY            it is open: by another process, or by this one
 *  -ESTALE           it belongs to another base
 *  -EINVAL           it has another length than `base`; no base, no path, no regular
 *                    file, an unknown flag
 *  -EBADMSG          it is no overlay, or a damaged or truncated one
 *  -EPROTONOSUPPORT  a version that this library does not have
 *  -ENODATA          `base` has no identity, and none was given
 *  -ENOENT           LAZYMEM_OVERLAY_READ_ONLY, and no file is there
 *  -EISDIR, -EFBIG, -E2BIG, -ENOMEM, any errno of open, read, write
 * The message names the path. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_overlay_open(const char *path, struct lazymem_backing *base,
					const struct lazymem_overlay_options *options,
					struct lazymem_backing **ret_backing);

/* The first run of blocks at or after the block of byte `from` that were written or
 * discarded: its bytes, cut off at the end of the object. What is flushed and what is
 * not makes no difference. -ENOENT when there is none, -EINVAL for an object that is no
 * overlay. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_overlay_changed(const struct lazymem_backing *overlay, uint64_t from,
					   uint64_t *ret_start, uint64_t *ret_length);

/* What an overlay is, without its base. Since 0.1. */
struct lazymem_overlay_description {
	size_t size;                  /* sizeof(struct lazymem_overlay_description) */
	struct lazymem_identity base; /* what it belongs to */
	uint64_t length;              /* bytes, as the base */
	uint64_t file_length;         /* bytes, holes with it */
	uint64_t written;             /* bytes of the blocks that have their content here */
	uint64_t discarded; /* bytes of the blocks that are zero, and not as in the base */
};

/* Look into the file at `path`. ret_description begins with its size. Errors as
 * above. Any thread. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_overlay_describe(const char *path,
					    struct lazymem_overlay_description *ret_description);

#ifdef __cplusplus
}
#endif
#endif
