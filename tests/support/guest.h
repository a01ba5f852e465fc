/* SPDX-License-Identifier: MIT
 *
 * guest.h - guest memory of one region with its handler and attachment, the
 * common case; and the checks that every test makes.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

#include "harness.h"
#include <lazymem/handler.h>

#define GUEST_BASE (UINT64_C(4) << 30)

struct guest {
	struct lazymem_handler *handler;
	struct lazymem_mapping *mapping;
	struct lazymem_memory *memory;
	struct lazymem_attachment *attachment; /* NULL while it is not attached */
	unsigned char *host;
	size_t length;
	size_t page;
};

/* Guest memory at GUEST_BASE, filled from the start of `backing`; `flags` are LAZYMEM_MAPPING_*. */
void guest_map(struct guest *guest, enum memory_kind kind, size_t length, unsigned flags,
	       struct lazymem_backing *backing);

/* Create a handler, with its defaults or as `options` say, and attach. */
void guest_attach(struct guest *guest, const struct lazymem_handler_options *handler_options,
		  const struct lazymem_attach_options *attach_options);

/* Both, with every default. */
void guest_start(struct guest *guest, enum memory_kind kind, size_t length,
		 struct lazymem_backing *backing);

/* At rest: abort what is still attached, after a look at its statistics; free it all. */
void guest_end(struct guest *guest);

/* Finish, which must succeed. */
void guest_finish(struct guest *guest);

/* Prefetch one range, offsets within the guest (everything when length is 0), and wait for it. */
void guest_prefetch(struct guest *guest, uint64_t start, uint64_t length);

lazymem_guest_address guest_address(uint64_t offset);

/* Wait until no fault is under way, check that the outcomes add up to the
 * faults and the latencies too, and return the counters. */
struct lazymem_statistics statistics_at_rest(struct lazymem_attachment *attachment);

#endif
