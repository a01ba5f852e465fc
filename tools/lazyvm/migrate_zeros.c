/* SPDX-License-Identifier: MIT
 *
 * What of the guest's memory is zeros, where its file does not tell.
 *
 * A file of base pages tells its holes, and whoever reads an export of it asks for
 * them. A file of hugetlb pages calls everything data. So of such memory the page
 * table is asked: a page that is not in it was never made, or was given back, and reads as
 * zeros.
 *
 * That is true only where nothing else can be missing. A page of a guest that was restored on
 * demand is not there before it is touched, and its bytes are in the snapshot. So everything that has
 * bytes anywhere was read before (migrate_memory.c); hugetlb pages are never swapped out, and
 * all that comes and goes does so through the mapping that is asked about.
 *
 * The guest may run meanwhile. A page that is made after it was looked at is zeros until it is
 * written, and that is told by the next collect: so the marks of writes are taken before.
 */
#include "fault.h"
#include "migrate.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ASKED_AT_ONCE ((size_t)4096) /* base pages */

static int ask(const unsigned char *host, size_t length, unsigned char *ret_there)
{
	while (mincore((void *)(uintptr_t)host, length, ret_there) != 0)
		if (errno != EAGAIN)
			return fault("what there is of the guest's memory: mincore: %s",
				     strerror(errno));
	return 0;
}

/* The pages that begin in this part of the region: each is known by its first base page. */
static int find_in_window(struct lazymem_region *region, uint64_t start, size_t length,
			  struct lazymem_dirty *zeros)
{
	struct lazymem_mapping *mapping = lazymem_region_mapping(region);
	const unsigned char *host = lazymem_mapping_span(mapping).host;
	uint64_t base = lazymem_region_base(region).value;
	size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	size_t page = lazymem_mapping_page_size(mapping);
	unsigned char there[ASKED_AT_ONCE];

	if (ask(host + start, length, there) != 0)
		return -1;
	for (uint64_t at = (start + page - 1) / page * page; at < start + length; at += page)
		if ((there[(at - start) / base_page] & 1) == 0 &&
		    lazymem_dirty_add(zeros, (struct lazymem_guest_range){{base + at}, page}) != 0)
			return fault_of_library("what there is of the guest's memory");
	return 0;
}

static int find_in_region(struct lazymem_region *region, struct lazymem_dirty *zeros)
{
	size_t window = ASKED_AT_ONCE * (size_t)sysconf(_SC_PAGESIZE);
	uint64_t length = lazymem_region_length(region);

	for (uint64_t start = 0; start < length; start += window) {
		uint64_t left = length - start;

		if (find_in_window(region, start, left < window ? (size_t)left : window, zeros) !=
		    0)
			return -1;
	}
	return 0;
}

int migrate_find_zeros(struct lazymem_memory *memory, struct lazymem_dirty *zeros)
{
	lazymem_dirty_clear(zeros);
	for (size_t i = 0; i < lazymem_memory_region_count(memory); i++) {
		struct lazymem_region *region = lazymem_memory_region(memory, i);
		size_t page = lazymem_mapping_page_size(lazymem_region_mapping(region));

		if (page > (size_t)sysconf(_SC_PAGESIZE) && find_in_region(region, zeros) != 0)
			return -1;
	}
	return 0;
}
