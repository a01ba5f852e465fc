/* SPDX-License-Identifier: MIT
 *
 * One lazily filled region.
 *
 * Memory must be fresh when it is attached: a page that is there would never
 * raise a fault, and the guest would read whatever is in it (zeros, mostly) in
 * place of the backing object's bytes.
 *
 * Shared memory gets an alias: a second mapping of the same pages that is not
 * registered, so that it can be written while the guest's mapping still traps.
 * Neither is inherited by fork: a child would not be registered, and would
 * read false zeros.
 */
#include "uffd/lazy_region.h"

#include "core/checked.h"
#include "core/error.h"
#include "core/mapping_operations.h"
#include "uffd/held.h"
#include "uffd/pagemap.h"
#include "uffd/tracking.h"
#include "uffd/userfaultfd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* include/uapi/asm-generic/mman-common.h, Linux 5.18 */
#endif

static int refuse(const struct lm_lazy_region *lazy, int error, const char *why)
{
	return lm_error(error, "region [0x%" PRIx64 "+0x%zx] cannot be filled lazily: %s",
			lazy->guest, lazy->length, why);
}

/* Nothing is there, but what an earlier abort poisoned may still be marked. */
static void clear_poison(const struct lm_lazy_region *lazy)
{
	if (madvise(lazy->host, lazy->length, MADV_DONTNEED) != 0)
		madvise(lazy->host, lazy->length, MADV_DONTNEED_LOCKED); /* mlocked */
}

static int check_fresh(const struct lm_lazy_region *lazy)
{
	size_t resident;
	int error;

	/* Shared memory may have pages that are in its file and not mapped. */
	if (!lm_mapping_is_shared(lazy->mapping) &&
	    lm_pagemap_has_pages(lazy->host, lazy->length) == 0)
		return 0;
	error = lazymem_mapping_resident(lazy->mapping, 0, lazy->length, &resident);

	if (error != 0)
		return error;
	if (resident != 0)
		return lm_error(-EEXIST,
				"region [0x%" PRIx64 "+0x%zx] has %zu bytes in memory already: "
				"attach it before anything touches it",
				lazy->guest, lazy->length, resident);
	return 0;
}

static int map_alias(struct lm_lazy_region *lazy)
{
	uint64_t offset;
	void *alias;
	int fd, error;

	error = lazymem_mapping_fd(lazy->mapping, &fd, &offset);
	if (error != 0)
		return error;
	alias = mmap(NULL, lazy->length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
		     (off_t)offset);
	if (alias == MAP_FAILED)
		return lm_error_errno(-errno, "cannot map an alias of region [0x%" PRIx64 "+0x%zx]",
				      lazy->guest, lazy->length);
	lazy->alias = alias;
	if (madvise(alias, lazy->length, MADV_DONTFORK) != 0 ||
	    madvise(alias, lazy->length, MADV_DONTDUMP) != 0)
		return lm_error_errno(-errno, "madvise of an alias failed");
	if (lm_mapping_wants_hugepages(lazy->mapping) && lazy->page_size < LM_BLOCK)
		madvise(alias, lazy->length, MADV_HUGEPAGE); /* advice only */
	return 0;
}

/* Room to count the pages of each 2 MiB block, whether huge pages are advised
 * yet or not; host alignment decides where blocks begin. */
static int create_blocks(struct lm_lazy_region *lazy)
{
	uint64_t host = (uintptr_t)lazy->host, first, end;

	if (lazy->page_size >= LM_BLOCK)
		return 0;
	if (!lm_align_up(host, LM_BLOCK, &first))
		return 0;
	end = lm_align_down(host + lazy->length, LM_BLOCK);
	if (end <= first)
		return 0;
	lazy->blocks = (size_t)((end - first) / LM_BLOCK);
	lazy->first_block_page = (size_t)(first - host) >> lazy->page_shift;
	lazy->present_in_block = calloc(lazy->blocks, sizeof(*lazy->present_in_block));
	if (lazy->present_in_block == NULL)
		return lm_error(-ENOMEM, "no memory for the block counters");
	return 0;
}

/* Field by field: other threads may look at those that say whose region it is. */
static void describe(struct lazymem_region *region, struct lm_lazy_region *lazy)
{
	struct lazymem_span span = lazymem_mapping_span(lazy->mapping);

	lazy->region = region;
	lazy->file = -1;
	lazy->backing = lazymem_region_backing(region);
	lazy->backing_offset = lazymem_region_backing_offset(region);
	lazy->guest = lazymem_region_base(region).value;
	lazy->host = span.host;
	lazy->length = span.length;
	lazy->page_size = lazymem_mapping_page_size(lazy->mapping);
	lazy->page_shift = (unsigned)__builtin_ctzl(lazy->page_size);
}

int lm_lazy_region_create(struct lazymem_region *region, bool fresh, struct lm_lazy_region *lazy)
{
	size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	int error;

	describe(region, lazy);
	lazy->fresh = fresh;
	lazy->takes_parts = lazymem_backing_takes_parts(lazymem_region_backing(region));
	if (lm_mapping_is_file(lazy->mapping))
		return refuse(lazy, -EINVAL,
			      "it maps a regular file, which userfaultfd does not take");
	if (!lm_mapping_is_shared(lazy->mapping) && lazy->page_size != base_page)
		return refuse(lazy, -EINVAL, "it is private hugetlb memory");
	if (fresh) {
		error = check_fresh(lazy);
		if (error != 0)
			return error;
		clear_poison(lazy);
	}
	error = lm_page_map_create(lazy->length >> lazy->page_shift, &lazy->map);
	if (error == 0)
		error = create_blocks(lazy);
	if (error == 0 && lm_mapping_is_shared(lazy->mapping))
		error = map_alias(lazy);
	if (error == 0 && madvise(lazy->host, lazy->length, MADV_DONTFORK) != 0)
		error = lm_error_errno(-errno, "MADV_DONTFORK failed");
	if (error != 0)
		lm_lazy_region_destroy(lazy);
	return error;
}

void lm_lazy_region_destroy(struct lm_lazy_region *lazy)
{
	if (lazy->host != NULL && !lm_mapping_is_dontfork(lazy->mapping))
		madvise(lazy->host, lazy->length, MADV_DOFORK);
	if (lazy->alias != NULL)
		munmap(lazy->alias, lazy->length);
	free(lazy->present_in_block);
	free(lazy->views);
	lm_tracking_destroy(lazy);
	lm_held_close(lazy);
	lm_page_map_destroy(&lazy->map);
	lazy->present_in_block = NULL;
	lazy->views = NULL;
	lazy->alias = NULL;
	lazy->host = NULL;
	lazy->blocks = 0;
}

size_t lm_lazy_region_extent(const struct lm_lazy_region *lazy, size_t page, size_t limit,
			     bool *ret_zero)
{
	uint64_t length = (uint64_t)limit << lazy->page_shift;
	struct lazymem_extent extent;
	size_t whole;

	*ret_zero = false;
	if (lazymem_backing_extent(lazy->backing, lm_lazy_region_offset(lazy, page), length,
				   &extent) != 0)
		return 1; /* no answer: to be read, like anything that is not known to be zero */
	whole = (size_t)(extent.length >> lazy->page_shift);
	if (extent.kind == LAZYMEM_EXTENT_ZERO && whole > 0) {
		*ret_zero = true;
		return whole;
	}
	/* A page that is partly data is data. */
	if (extent.kind == LAZYMEM_EXTENT_DATA && !lm_is_aligned(extent.length, lazy->page_size))
		whole++;
	return whole > 0 ? whole : 1;
}

void lm_lazy_region_unprotect(struct lm_lazy_region *lazy, size_t page, size_t count)
{
	if (atomic_load(&lazy->protects))
		mprotect(lm_lazy_region_host(lazy, page), count << lazy->page_shift,
			 lm_mapping_protection(lazy->mapping));
}

unsigned lm_lazy_region_modes(const struct lm_lazy_region *lazy)
{
	return (lazy->alias != NULL ? LM_FOR_MINOR : 0) |
	       (lm_tracking_protects(lazy) ? LM_FOR_WRITE : 0);
}

/* The block that holds `page`; false outside of all whole blocks. */
static bool block_of(const struct lm_lazy_region *lazy, size_t page, size_t *ret_block)
{
	size_t block;

	if (page < lazy->first_block_page)
		return false;
	block = (page - lazy->first_block_page) >> (LM_BLOCK_SHIFT - lazy->page_shift);
	*ret_block = block;
	return block < lazy->blocks;
}

void lm_lazy_region_count_present(struct lm_lazy_region *lazy, size_t page, size_t count)
{
	size_t block, full = LM_BLOCK >> lazy->page_shift;

	if (lazy->blocks == 0 || !lm_mapping_wants_hugepages(lazy->mapping))
		return;
	if (lm_tracking_protects(lazy)) /* the kernel collapses no protected pages */
		return;
	for (size_t i = page; i < page + count; i++) {
		if (!block_of(lazy, i, &block) || lazy->present_in_block[block] >= full)
			continue;
		if (++lazy->present_in_block[block] == full) {
			lazy->present_in_block[block] = LM_BLOCK_COMPLETE;
			lazy->complete_blocks++;
		}
	}
}

void lm_lazy_region_break_blocks(struct lm_lazy_region *lazy, size_t page, size_t count)
{
	size_t end = page + count, in_block = LM_BLOCK >> lazy->page_shift, block;

	if (lazy->blocks == 0)
		return;
	if (page < lazy->first_block_page)
		page = lazy->first_block_page;
	for (; page < end && block_of(lazy, page, &block);
	     page = lm_lazy_region_block_page(lazy, block) + in_block) {
		if (lazy->present_in_block[block] == LM_BLOCK_COMPLETE)
			lazy->complete_blocks--;
		lazy->present_in_block[block] = LM_BLOCK_BROKEN;
	}
}
