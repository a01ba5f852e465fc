/* SPDX-License-Identifier: MIT
 *
 * changed_pages.h - what was changed in an overlay, as pages of guest memory.
 */
#ifndef LAZYMEM_TOOL_CHANGED_PAGES_H
#define LAZYMEM_TOOL_CHANGED_PAGES_H

#include <lazymem/dirty.h>
#include <lazymem/overlay.h>
#include <lazymem/snapshot.h>

/* The pages of an overlay over memory with these regions. NULL after a message. */
struct lazymem_dirty *changed_pages(const struct lazymem_backing *overlay,
				    const struct lazymem_snapshot_region *regions, size_t count);

#endif
