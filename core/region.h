/* SPDX-License-Identifier: MIT
 *
 * region.h - a region as the files of core see it, and its name in messages.
 */
#ifndef LM_REGION_H
#define LM_REGION_H

#include <inttypes.h>
#include <lazymem/memory.h>
#include <stdatomic.h>

/* Never changes after its creation. */
struct lazymem_region {
	atomic_size_t references;
	lazymem_guest_address base;
	uint64_t length; /* base + length - 1 fits in 64 bits */
	struct lazymem_mapping *mapping;
	struct lazymem_backing *backing; /* NULL: nothing to fill it from */
	uint64_t backing_offset;
};

/* "region 2 [0x1000+0x2000]": lm_error(error, LM_REGION " ...", LM_REGION_IS(2, region)). */
#define LM_REGION "region %zu [0x%" PRIx64 "+0x%" PRIx64 "]"
#define LM_REGION_IS(index, region) (index), (region)->base.value, (region)->length

#endif
