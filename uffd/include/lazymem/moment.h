/* SPDX-License-Identifier: MIT
 *
 * moment.h - what the guest memory of an attachment held at one moment, to be
 * written as a snapshot while the guest goes on.
 *
 *	lazymem_moment_create(attachment, &moment);
 *	lazymem_moment_copy(moment, &length);        the guest runs
 *	... stop the guest ...
 *	lazymem_moment_take(moment, &length);        the moment
 *	... let it go on ...
 *	lazymem_moment_write(moment, path, &plan);   a layer over the snapshot before
 *	lazymem_moment_destroy(moment);
 *
 * Only what was written since the moment before is copied and stored, and no
 * page is populated for it: what was not written, or is not there, is left to
 * the parent.
 *
 * Neither finish nor abort of the attachment may run at the same time as a call for
 * its moment.
 */
#ifndef LAZYMEM_MOMENT_H
#define LAZYMEM_MOMENT_H

#include <lazymem/handler.h>
#include <lazymem/snapshot_write.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lazymem_moment;

/* Begin one. To it belongs what was written or discarded since the last moment
 * that was written, or since attaching. An attachment has one at a time. -EINVAL
 * without LAZYMEM_ATTACH_TRACK or with LAZYMEM_ATTACH_USERFAULTFD, -EBUSY while it has another, -ENOMEM. Any thread.
 * Since 0.1. */
LAZYMEM_PUBLIC int lazymem_moment_create(struct lazymem_attachment *attachment,
					 struct lazymem_moment **ret_moment);

/* Copy what was written so far, while the guest runs: what it does not write
 * again need not be copied in the pause. May be called any number of times, or
 * not at all; it gains as long as *ret_length, the bytes that were copied, gets
 * smaller. -EINVAL after the moment was taken, or after the attachment was let
 * go; -EDEADLK from a callback on a worker; what lazymem_attachment_collect
 * answers. One thread at a time that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_moment_copy(struct lazymem_moment *moment, uint64_t *ret_length);

/* The same for every page that is there, whether it was written or not, so that a
 * moment without a parent needs their backing objects no more: those of memory that a
 * live migration has brought are gone. It takes as much memory as these pages. Once is
 * enough. Errors as above. One thread at a time that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_moment_copy_all(struct lazymem_moment *moment, uint64_t *ret_length);

/* Take the moment: stop the guest, and whatever else writes or discards its
 * memory, and let them go on when this has returned. *ret_length is the number of
 * bytes that had still to be copied. Errors as above, and then there is no
 * moment yet: it may be called again. One thread at a time that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_moment_take(struct lazymem_moment *moment, uint64_t *ret_length);

/* The pages that belong to the moment, as far as they are copied: a set for the
 * attached guest memory. Borrowed. Any thread while nobody copies or takes. Since 0.1. */
LAZYMEM_PUBLIC const struct lazymem_dirty *
lazymem_moment_dirty(const struct lazymem_moment *moment);

/* Write the moment to a snapshot at `path`, as lazymem_snapshot_write does; the
 * guest may run. Of `plan` (NULL: the defaults), `source`, `regions` and
 * `changed` must be empty.
 *
 * With a parent: a layer. The parent is the snapshot that the memory was restored
 * from (see `origin` of struct lazymem_attach_options), for the first moment of an
 * attachment, and the one that the moment before was written to for all others
 * (-ESTALE). It has the memory of the attached regions, those that are filled
 * lazily, and no other (-EINVAL); past its end, in the last page, nothing was
 * written (-ERANGE).
 *
 * Without: all of these regions in the order of their guest addresses. What was not
 * written comes from their backing objects, which is right for the first moment
 * of memory that is not written back, and else refused (-EINVAL).
 *
 * -EINVAL before the moment was taken, and once it is written; else the errors of
 * lazymem_snapshot_write, and it may be tried again. One thread at a time that serves no faults. Since 0.1. */
LAZYMEM_PUBLIC int lazymem_moment_write(struct lazymem_moment *moment, const char *path,
					const struct lazymem_snapshot_plan *plan);

/* Free it. What was not written to a snapshot belongs to the next moment. NULL is
 * allowed. The attachment may be finished or aborted before: a moment that was
 * taken can still be written then. The owner. Since 0.1. */
LAZYMEM_PUBLIC void lazymem_moment_destroy(struct lazymem_moment *moment);

#ifdef __cplusplus
}
#endif
#endif
