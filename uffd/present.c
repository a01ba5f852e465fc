/* SPDX-License-Identifier: MIT
 *
 * Memory that is partly there when it is attached: its owner has filled some
 * pages himself (as a live migration does before the switch-over), says which,
 * and they are never read.
 *
 *                  has memory    has none
 *   in the set     PRESENT       DISCARDED: zero by content
 *   not in it      refused       MISSING
 *
 * What the backing objects have there may be anything else, so all of the set
 * counts as written.
 */
#include "uffd/present.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/mapping_operations.h"
#include "core/memory.h"
#include "uffd/pagemap.h"
#include "uffd/tracking.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Base pages that are asked for at once. */
#define ASKED ((size_t)4096)

/* Hugetlb memory is never swapped out, so what is resident is all. */
static int ask_hugetlb(const struct lm_lazy_region *region, size_t start, size_t length,
		       unsigned char *there)
{
	while (mincore(region->host + start, length, there) != 0)
		if (errno != EAGAIN)
			return -errno;
	for (size_t i = 0; i < length / (size_t)sysconf(_SC_PAGESIZE); i++)
		there[i] &= 1;
	return 0;
}

/* Of a file in memory: what is no hole, swapped out or not. The offset of the descriptor may
 * be its owner's too. */
static int ask_file(const struct lm_lazy_region *region, size_t start, size_t length,
		    unsigned char *there)
{
	const size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t offset;
	off_t data, hole, end, before;
	int fd, error = lazymem_mapping_fd(region->mapping, &fd, &offset);

	if (error != 0)
		return error;
	memset(there, 0, length / base_page);
	before = lseek(fd, 0, SEEK_CUR);
	hole = (off_t)(offset + start);
	end = hole + (off_t)length;
	while ((data = lseek(fd, hole, SEEK_DATA)) >= 0 && data < end) {
		const size_t first = (size_t)(data - (off_t)(offset + start)) / base_page;

		hole = lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		memset(there + first, 1,
		       (size_t)(lm_min((uint64_t)hole, (uint64_t)end) - (uint64_t)data) /
			       base_page);
		if (hole >= end)
			break;
	}
	error = data < 0 && errno != ENXIO ? -errno : 0; /* ENXIO: no data beyond */
	(void)lseek(fd, before, SEEK_SET);
	return error;
}

/* Which of these base pages have memory. */
static int ask(const struct lm_lazy_region *region, size_t start, size_t length,
	       unsigned char *ret_there)
{
	int error;

	if (region->page_size > (size_t)sysconf(_SC_PAGESIZE))
		error = ask_hugetlb(region, start, length, ret_there);
	else if (lm_mapping_is_shared(region->mapping))
		error = ask_file(region, start, length, ret_there);
	else
		error = lm_pagemap_there(region->host + start, length, ret_there);
	if (error != 0)
		return lm_error_errno(
			error, "cannot ask which pages of region [0x%" PRIx64 "+0x%zx] are there",
			region->guest, region->length);
	return 0;
}

static int take_page(struct lm_lazy_region *region, const struct lazymem_dirty *present,
		     size_t page, bool is_there)
{
	const lazymem_guest_address address = {lm_lazy_region_guest(region, page)};

	if (!lazymem_dirty_test(present, address)) {
		if (!is_there)
			return 0;
		return lm_error(-EEXIST,
				"guest address 0x%" PRIx64
				" is in memory already, and is not said to be present",
				address.value);
	}
	lm_tracking_mark(region, page);
	if (!is_there) {
		lm_page_map_discard(&region->map, page, 1);
		return 0;
	}
	(void)lm_page_map_claim(&region->map, page, 1);
	(void)lm_page_map_publish(&region->map, page);
	lm_lazy_region_count_present(region, page, 1);
	return 0;
}

/* A page of hugetlb memory is asked for by its first base page. */
static int take_chunk(struct lm_lazy_region *region, const struct lazymem_dirty *present,
		      size_t start, size_t length)
{
	const size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char there[ASKED];
	int error = ask(region, start, length, there);

	for (size_t at = 0; error == 0 && at < length; at += base_page) {
		const size_t offset = start + at;

		if (offset % region->page_size == 0)
			error = take_page(region, present, offset >> region->page_shift,
					  there[at / base_page] != 0);
	}
	return error;
}

int lm_present_take(struct lm_lazy_region *region, const struct lazymem_dirty *present)
{
	const size_t chunk = ASKED * (size_t)sysconf(_SC_PAGESIZE);
	int error = 0;

	if (!lm_dirty_fits(present, region->attachment->memory))
		return lm_error(-EINVAL,
				"the set of present pages is for guest memory of other regions");
	for (size_t start = 0; error == 0 && start < region->length; start += chunk)
		error = take_chunk(region, present, start,
				   (size_t)lm_min(chunk, region->length - start));
	return error;
}
