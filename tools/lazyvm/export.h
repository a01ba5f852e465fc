/* SPDX-License-Identifier: MIT
 *
 * export.h - guest memory for others to read: nbdkit, run by us, with a
 * descriptor of each region.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_EXPORT_H
#define LAZYVM_EXPORT_H

#include "link.h"

struct export;

/* Is every region of this memory in a file of its own, that can be exported? */
int export_check_memory(struct lazymem_memory *memory);

/* Serve the memory, read only, at the address of this end of the link, on a port that the
 * kernel chooses. *ret_announcement is what the peer has to be told. */
int export_start(struct lazymem_memory *memory, const struct link *link,
		 const struct link_security *security, struct export **ret_export,
		 struct wire_export *ret_announcement);

/* 0 while nbdkit runs. Else -1 and how it ended, although it is being started again. */
int export_check(struct export *export);

/* No one can read any more. NULL is allowed. */
void export_stop(struct export *export);

#endif
