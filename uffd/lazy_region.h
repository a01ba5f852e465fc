/* SPDX-License-Identifier: MIT
 *
 * lazy_region.h - one lazily filled region of an attachment: where its faults
 * are reported, where its bytes come from, how they are delivered, and the
 * state of each page.
 *
 * A page is named by its index in the region. Host addresses appear only at
 * the two edges, in decoding a message and in a verb.
 */
#ifndef LM_LAZY_REGION_H
#define LM_LAZY_REGION_H

#include "core/page_map.h"

#include <lazymem/memory.h>
#include <stdatomic.h>

#define LM_BLOCK_SHIFT 21
#define LM_BLOCK ((size_t)1 << LM_BLOCK_SHIFT) /* bytes of a transparent huge page */

/* present_in_block of a block that is a huge page; of one that a discard or a
 * refusal took out of the count; of one that is full. */
#define LM_BLOCK_COLLAPSED UINT16_MAX
#define LM_BLOCK_BROKEN (UINT16_MAX - 1)
#define LM_BLOCK_COMPLETE (UINT16_MAX - 2)

/* One more host mapping of some pages of a region: see view.h. */
struct lm_view {
	char *host;
	size_t length; /* bytes */
	size_t first;  /* the page at host */
	bool is_private;
};

struct lm_lazy_region {
	struct lazymem_attachment *attachment;
	struct lazymem_region *region; /* borrowed from the guest memory */
	struct lazymem_mapping *mapping;
	struct lazymem_backing *backing;
	uint64_t backing_offset;
	uint64_t guest; /* guest address of page 0 */
	char *host;     /* of page 0, where the faults are reported */
	char *alias;    /* a second mapping of the same memory, or NULL: see populate.c */
	int file;       /* what is behind shared memory, to ask what it holds, or -1: see held.c */
	size_t length;
	size_t first_index; /* of page 0, in a numbering of the pages of all regions */
	size_t page_size;
	unsigned page_shift;
	unsigned can; /* LM_CAN_* */
	bool registered;
	bool attached;          /* the mapping has the lazy operations */
	atomic_bool had_poison; /* pages were poisoned; there may be marks that no state tells of */
	atomic_bool protects;   /* poisoned pages are PROT_NONE: the kernel has no UFFDIO_POISON */
	bool takes_parts;       /* a read of its backing object may have parts */
	bool fresh;             /* nothing was there when it was attached */
	struct lm_page_map map;

	/* Changed under the attachment's exclusive lock; in the order of adding. */
	struct lm_view *views;
	_Atomic size_t view_count;
	size_t view_capacity;
	bool lacks_poison; /* some view may: it came later, or was advised away */

	_Atomic uint64_t
		*written; /* a mark for each page, where writes are tracked: see tracking.c */

	/* How many pages of each 2 MiB block of host memory are real pages (which
	 * ZEROPAGE of private memory does not give), from when huge pages are
	 * advised on. Changed under the attachment's lock: counted by the worker
	 * (shared), broken by whoever discards (exclusive). */
	uint16_t *present_in_block;
	size_t blocks;
	size_t first_block_page;        /* page at which block 0 begins */
	_Atomic size_t complete_blocks; /* of these, LM_BLOCK_COMPLETE */
};

/* Fill in from a region of guest memory that has a backing object; attachment
 * and mapping are set. -EINVAL for memory that cannot be filled lazily,
 * -EEXIST when it is not fresh and `fresh` asks for it, -ENOMEM. Destroy
 * tolerates a half-built one. */
int lm_lazy_region_create(struct lazymem_region *region, bool fresh, struct lm_lazy_region *lazy);
void lm_lazy_region_destroy(struct lm_lazy_region *lazy);

static inline char *lm_lazy_region_host(const struct lm_lazy_region *lazy, size_t page)
{
	return lazy->host + (page << lazy->page_shift);
}

static inline char *lm_lazy_region_alias(const struct lm_lazy_region *lazy, size_t page)
{
	return lazy->alias + (page << lazy->page_shift);
}

static inline uint64_t lm_lazy_region_offset(const struct lm_lazy_region *lazy, size_t page)
{
	return lazy->backing_offset + ((uint64_t)page << lazy->page_shift);
}

static inline uint64_t lm_lazy_region_guest(const struct lm_lazy_region *lazy, size_t page)
{
	return lazy->guest + ((uint64_t)page << lazy->page_shift);
}

/* How many pages from `page` on, at most `limit`, are alike: *ret_zero says
 * whether they are zero by content (wholly in holes of the backing object), or must
 * be read. At least 1. */
size_t lm_lazy_region_extent(const struct lm_lazy_region *lazy, size_t page, size_t limit,
			     bool *ret_zero);

/* Give poisoned pages their protection back, where it was taken: before they
 * are populated after all. */
void lm_lazy_region_unprotect(struct lm_lazy_region *lazy, size_t page, size_t count);

/* Pages from `page` on became real pages. */
void lm_lazy_region_count_present(struct lm_lazy_region *lazy, size_t page, size_t count);

/* Pages from `page` on went away, so the blocks they are in stay incomplete. */
void lm_lazy_region_break_blocks(struct lm_lazy_region *lazy, size_t page, size_t count);

/* How its memory is registered: LM_FOR_*. */
unsigned lm_lazy_region_modes(const struct lm_lazy_region *lazy);

/* The first page of a block, and how many pages a block has. */
static inline size_t lm_lazy_region_block_page(const struct lm_lazy_region *lazy, size_t block)
{
	return lazy->first_block_page + block * (LM_BLOCK >> lazy->page_shift);
}

#endif
