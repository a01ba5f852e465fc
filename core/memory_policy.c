/* SPDX-License-Identifier: MIT
 *
 * memory_policy.c - NUMA policy of guest memory, region by region.
 */
#include "core/error.h"
#include "core/mapping.h"
#include "core/memory.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

static int set_region_policy(const struct lazymem_region *region, int mode,
			     const unsigned long *nodes, unsigned long node_bits)
{
	/* mbind reads one bit less than it is told; it refuses an absurd count itself */
	const unsigned long told =
		nodes == NULL || node_bits == ULONG_MAX ? node_bits : node_bits + 1;

	if (syscall(SYS_mbind, region->mapping->host, region->mapping->length, mode, nodes, told,
		    0) != 0)
		return -errno;
	return 0;
}

int lazymem_memory_set_policy(struct lazymem_memory *memory, int mode, const unsigned long *nodes,
			      unsigned long node_bits, int *results)
{
	int first = 0;

	for (size_t i = 0; i < memory->count; i++) {
		const int error = set_region_policy(memory->regions[i], mode, nodes, node_bits);

		if (results != NULL)
			results[i] = error;
		if (error != 0 && first == 0)
			first = lm_error_errno(error, LM_REGION ": mbind with mode %d",
					       LM_REGION_IS(i, memory->regions[i]), mode);
	}
	return first;
}
