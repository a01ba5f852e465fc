/* SPDX-License-Identifier: MIT
 *
 * cloud_hypervisor_state.h - the table of memory ranges in the state.json of a
 * Cloud Hypervisor snapshot.
 */
#ifndef LAZYMEM_TOOL_CLOUD_HYPERVISOR_STATE_H
#define LAZYMEM_TOOL_CLOUD_HYPERVISOR_STATE_H

#include "parse_fault.h"

#include <lazymem/snapshot.h>

/* The ranges, in the order in which their bytes follow each other in the file
 * memory-ranges, for the caller to free. -EBADMSG, -ENOMEM, -EPROTONOSUPPORT
 * without a JSON library. */
int cloud_hypervisor_parse_state(const void *bytes, size_t length,
				 struct lazymem_snapshot_region **ret_regions, size_t *ret_count,
				 struct parse_fault *fault);

#endif
