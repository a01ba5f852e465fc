/* SPDX-License-Identifier: MIT
 *
 * All of the guest's memory, there.
 *
 * Whoever reads the memory file of a guest reads holes where a page was not
 * brought yet, and takes them for zeros. So before it is exported, everything that the
 * guest's backing object has data for is read. What it calls zero may stay a hole.
 *
 * A prefetch may leave pages that could not be read. So afterwards each page that
 * may be missing where there should be data is touched: it is there, or is read now, or cannot be
 * read. Where memory has a file of base pages, what may be missing is a hole of it; a file of
 * hugetlb pages tells no holes. What was given back is zeros by right, whatever the backing object
 * has there: it is left alone, or it would be made.
 *
 * The same is done where a guest has arrived, before the source is let go. Once all of it was
 * there nothing is missing ever again: what the guest gives back is zeros. Then nothing is
 * touched, or it would be made. A process runs one guest.
 */
#include "fault.h"
#include "migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define TOUCHED_AT_ONCE ((size_t)512)
#define WAIT_NS (UINT64_C(200) * 1000 * 1000)

struct ranges {
	struct lazymem_guest_range *items;
	size_t count;
	size_t capacity;
};

static atomic_bool is_whole;

bool migrate_take_gap(const struct lazymem_dirty *set, struct lazymem_guest_range *range,
		      struct lazymem_guest_range *ret_gap)
{
	uint64_t start = range->start.value;
	uint64_t end = start + range->length;
	struct lazymem_guest_range next = {{end}, 0};

	while (start < end) {
		if (set == NULL ||
		    lazymem_dirty_next(set, (lazymem_guest_address){start}, &next) != 0 ||
		    next.start.value > end)
			next = (struct lazymem_guest_range){{end}, 0};
		if (next.start.value > start) {
			*ret_gap = (struct lazymem_guest_range){{start}, next.start.value - start};
			*range = (struct lazymem_guest_range){next.start, end - next.start.value};
			return true;
		}
		start = next.start.value + next.length;
	}
	return false;
}

static int add_range(struct ranges *ranges, struct lazymem_guest_range range)
{
	if (ranges->count == ranges->capacity) {
		size_t capacity = ranges->capacity != 0 ? 2 * ranges->capacity : 64;
		void *grown = reallocarray(ranges->items, capacity, sizeof(*ranges->items));

		if (grown == NULL)
			return fault("no memory for the ranges of guest memory");
		ranges->items = grown;
		ranges->capacity = capacity;
	}
	ranges->items[ranges->count++] = range;
	return 0;
}

static int add_gaps(struct ranges *ranges, const struct lazymem_dirty *settled,
		    struct lazymem_guest_range range)
{
	struct lazymem_guest_range gap;

	while (migrate_take_gap(settled, &range, &gap))
		if (add_range(ranges, gap) != 0)
			return -1;
	return 0;
}

/* What the region's backing object has data for. */
static int find_data(struct lazymem_region *region, const struct lazymem_dirty *settled,
		     struct ranges *ranges)
{
	struct lazymem_backing *backing = lazymem_region_backing(region);
	uint64_t base = lazymem_region_base(region).value;
	uint64_t offset = lazymem_region_backing_offset(region);
	uint64_t length = lazymem_region_length(region);

	for (uint64_t at = 0; backing != NULL && at < length;) {
		struct lazymem_extent extent;

		if (lazymem_backing_extent(backing, offset + at, length - at, &extent) != 0)
			return fault_of_library("the holes of the guest's memory");
		if (extent.kind == LAZYMEM_EXTENT_DATA &&
		    add_gaps(ranges, settled,
			     (struct lazymem_guest_range){{base + at}, extent.length}) != 0)
			return -1;
		at += extent.length;
	}
	return 0;
}

static int find_all_data(struct lazymem_memory *memory, const struct lazymem_dirty *settled,
			 struct ranges *ranges)
{
	for (size_t i = 0; i < lazymem_memory_region_count(memory); i++)
		if (find_data(lazymem_memory_region(memory, i), settled, ranges) != 0)
			return -1;
	return 0;
}

/* Every range in blocks that hold whole pages. */
static int prefetch(struct lazymem_attachment *attachment, const struct ranges *ranges,
		    int (*tick)(void *context), void *context)
{
	const struct lazymem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = ranges->items, .range_count = ranges->count};
	int error;

	if (lazymem_attachment_prefetch(attachment, &prefetch) != 0)
		return fault_of_library("cannot read the guest's memory");
	while ((error = lazymem_attachment_wait(attachment, WAIT_NS)) == -ETIMEDOUT)
		if (tick(context) != 0)
			return -1;
	return error == 0 ? 0 : fault_of_library("cannot read the guest's memory");
}

/* One byte of each page, by a call that answers with an error where an access
 * would be a signal. */
static int touch_pages(const unsigned char *host, uint64_t address, size_t page, size_t count)
{
	unsigned char bytes[TOUCHED_AT_ONCE];
	struct iovec local = {bytes, count};
	struct iovec remote[TOUCHED_AT_ONCE];
	ssize_t touched;

	for (size_t i = 0; i < count; i++)
		remote[i] = (struct iovec){(void *)(uintptr_t)(host + i * page), 1};
	touched = process_vm_readv(getpid(), &local, 1, remote, count, 0);
	if (touched == (ssize_t)count)
		return 0;
	return fault("guest memory at 0x%" PRIx64 " cannot be read",
		     address + (touched > 0 ? (uint64_t)touched * page : 0));
}

static int touch(struct lazymem_region *region, uint64_t start, uint64_t length)
{
	struct lazymem_mapping *mapping = lazymem_region_mapping(region);
	const unsigned char *host = lazymem_mapping_span(mapping).host;
	uint64_t base = lazymem_region_base(region).value;
	size_t page = lazymem_mapping_page_size(mapping);
	uint64_t end = start + length;

	for (uint64_t at = start / page * page; at < end; at += TOUCHED_AT_ONCE * page) {
		uint64_t left = (end - at + page - 1) / page;
		size_t count = left < TOUCHED_AT_ONCE ? (size_t)left : TOUCHED_AT_ONCE;

		if (touch_pages(host + at, base + at, page, count) != 0)
			return -1;
	}
	return 0;
}

/* The holes that the region's file has in a range where there is data. */
static int touch_holes(struct lazymem_region *region, uint64_t inside, uint64_t length, int fd,
		       uint64_t file_offset)
{
	uint64_t at = 0;

	while (at < length) {
		off_t hole = lseek(fd, (off_t)(file_offset + inside + at), SEEK_HOLE);
		off_t data = hole < 0 ? -1 : lseek(fd, hole, SEEK_DATA);
		uint64_t first;
		uint64_t end = length;

		if (hole < 0)
			return fault("the holes of the guest's memory: %s", strerror(errno));
		first = (uint64_t)hole - file_offset - inside;
		if (data >= 0 && (uint64_t)data - file_offset - inside < end)
			end = (uint64_t)data - file_offset - inside;
		if (first < end && touch(region, inside + first, end - first) != 0)
			return -1;
		at = first > end ? first : end;
	}
	return 0;
}

static int touch_range(struct lazymem_memory *memory, const struct lazymem_guest_range *range)
{
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	uint64_t inside;
	uint64_t file_offset;
	int fd;

	if (lazymem_memory_find(memory, range->start, &region, &inside) != 0)
		return fault_of_library(NULL);
	mapping = lazymem_region_mapping(region);
	if (lazymem_mapping_page_size(mapping) > (size_t)sysconf(_SC_PAGESIZE) ||
	    lazymem_mapping_fd(mapping, &fd, &file_offset) != 0)
		return touch(region, inside, range->length);
	return touch_holes(region, inside, range->length, fd, file_offset);
}

/* Why a page cannot be read, if that is known better. */
static int say_reason(struct guest_memory *memory)
{
	const char *reason = guest_memory_failure(memory);

	return reason != NULL ? fault("%s", reason) : -1;
}

static int populate(struct guest_memory *memory, const struct ranges *ranges,
		    int (*tick)(void *context), void *context)
{
	if (ranges->count == 0)
		return 0;
	if (prefetch(memory->attachment, ranges, tick, context) != 0)
		return -1;
	for (size_t i = 0; i < ranges->count; i++) {
		if (touch_range(memory->memory, &ranges->items[i]) != 0)
			return say_reason(memory);
		if (tick(context) != 0)
			return -1;
	}
	return 0;
}

int migrate_populate(struct guest_memory *memory, int (*tick)(void *context), void *context)
{
	struct ranges ranges = {0};
	struct lazymem_dirty *settled = NULL;
	int result = -1;

	if (atomic_load(&is_whole))
		return 0;
	if (guest_memory_copy_settled(memory, &settled) == 0 &&
	    find_all_data(memory->memory, settled, &ranges) == 0)
		result = populate(memory, &ranges, tick, context);
	lazymem_dirty_destroy(settled);
	free(ranges.items);
	if (result == 0)
		atomic_store(&is_whole, true);
	return result;
}
