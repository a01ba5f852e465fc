/* SPDX-License-Identifier: MIT
 *
 * stage.h - a worker without a thread, an attachment and its regions, built by
 * hand in front of the scripted kernel.h. Memory and mappings are real; nothing
 * is registered, and no queue is there. The source of the bytes is a backing
 * object that the test holds in its hand: page p reads as byte_of(p). Its reads
 * have parts in a stage that is opened with stage_open_in_parts.
 *
 * Each program's first line wraps ioctl and read.
 */
#ifndef TEST_STAGE_H
#define TEST_STAGE_H

#include "kernel.h"

#include "core/clock.h"
#include "uffd/advance.h"
#include "uffd/attention.h"
#include "uffd/collapse.h"
#include "uffd/command.h"
#include "uffd/failure.h"
#include "uffd/gather.h"
#include "uffd/populate.h"
#include "uffd/prefetch.h"
#include "uffd/serve.h"
#include "uffd/settle.h"
#include "uffd/worker.h"

#include <sys/mman.h>

#define GUEST UINT64_C(0x100000000)     /* of region 0 */
#define GUEST_STEP UINT64_C(0x40000000) /* from region to region */

#define DEMAND_SLOTS 4
#define PREFETCH_SLOTS 2
#define BUFFER_PAGES 4
#define OWN_BUFFERS (DEMAND_SLOTS + PREFETCH_SLOTS)
#define PART_SLOTS (LM_GATHERS * LM_GATHER_PARTS)

/* GIANT stands for hugetlb: shared memory in pages of four buffers each, which
 * no ZEROPAGE fills. */
enum kind { PRIVATE, SHARED, GIANT };
#define GIANT_PAGES ((size_t)16)

#define MOST_REGIONS 3
#define MOST_PAGES 8192

struct source {
	bool hole[MOST_PAGES]; /* by page of the backing object */
	bool bad[MOST_PAGES];  /* reads of it fail with -EIO */
	bool holds;            /* reads wait for source_complete */
	struct lazymem_read *held[8];
	size_t held_count;
	uint64_t offsets[1024]; /* of a read in parts, of its first one */
	size_t lengths[1024];
	size_t part_counts[1024]; /* 0: not in parts */
	unsigned flags[1024];
	size_t reads;
	size_t hurries;
	const struct lazymem_read *hurried; /* last */
	unsigned char identity;             /* every byte of it; 0: none */
	uint64_t ahead_offsets[64];         /* advice */
	uint64_t ahead_lengths[64];
	size_t aheads;
};

struct stage {
	struct lm_worker worker;
	struct lazymem_attachment attachment;
	struct lm_lazy_region regions[MOST_REGIONS];
	struct lazymem_region *objects[MOST_REGIONS];
	struct lm_slot slots[OWN_BUFFERS + PART_SLOTS];
	struct lm_gather gathers[LM_GATHERS];
	struct source source;
	enum kind kind;
	bool in_parts;
};

static struct stage stage;

static inline unsigned char byte_of(size_t page)
{
	return (unsigned char)(1 + page % 250);
}

/* ---- the source */

static inline size_t part_count(const struct lazymem_read *read)
{
	return read->parts != NULL ? read->part_count : 1;
}

static inline struct lazymem_read_part part_at(const struct lazymem_read *read, size_t index)
{
	return read->parts != NULL ? read->parts[index]
				   : (struct lazymem_read_part){read->offset, read->length};
}

static inline void source_fill(struct lazymem_read *read)
{
	unsigned char *bytes = read->buffer;

	for (size_t i = 0; i < part_count(read); i++) {
		struct lazymem_read_part part = part_at(read, i);

		for (uint64_t at = part.offset; at < part.offset + part.length; at++)
			*bytes++ = byte_of((size_t)(at / PAGE));
	}
}

static inline int source_error(const struct source *source, const struct lazymem_read *read)
{
	for (size_t i = 0; i < part_count(read); i++) {
		struct lazymem_read_part part = part_at(read, i);

		for (uint64_t at = part.offset; at < part.offset + part.length; at += PAGE)
			if (source->bad[at / PAGE])
				return -EIO;
	}
	return 0;
}

static inline void source_read(void *object, struct lazymem_read *read)
{
	struct source *source = object;

	assert_true(source->reads < 1024);
	source->offsets[source->reads] = part_at(read, 0).offset;
	source->part_counts[source->reads] = read->parts != NULL ? read->part_count : 0;
	source->flags[source->reads] = read->flags;
	source->lengths[source->reads++] = read->length;
	source_fill(read);
	if (!source->holds) {
		lazymem_read_complete(read, source_error(source, read));
		return;
	}
	assert_true(source->held_count < 8);
	source->held[source->held_count++] = read;
}

static inline void source_hurry(void *object, struct lazymem_read *read)
{
	struct source *source = object;

	source->hurries++;
	source->hurried = read;
}

static inline void source_readahead(void *object, uint64_t offset, uint64_t length)
{
	struct source *source = object;

	assert_true(source->aheads < 64);
	source->ahead_offsets[source->aheads] = offset;
	source->ahead_lengths[source->aheads++] = length;
}

/* The oldest read that is held is over. */
static inline void source_complete(int error)
{
	struct lazymem_read *read = stage.source.held[0];

	assert_true(stage.source.held_count > 0);
	memmove(stage.source.held, stage.source.held + 1, 7 * sizeof(read));
	stage.source.held_count--;
	lazymem_read_complete(read, error);
}

static inline int source_extent(void *object, uint64_t offset, uint64_t length,
				struct lazymem_extent *ret_extent)
{
	const struct source *source = object;
	bool hole = source->hole[offset / PAGE];
	uint64_t end = offset;

	while (end < offset + length && source->hole[end / PAGE] == hole)
		end = (end / PAGE + 1) * PAGE;
	if (end > offset + length)
		end = offset + length;
	*ret_extent = (struct lazymem_extent){offset, end - offset,
					      hole ? LAZYMEM_EXTENT_ZERO : LAZYMEM_EXTENT_DATA};
	return 0;
}

static inline int source_identity(void *object, struct lazymem_identity *ret_identity)
{
	const struct source *source = object;

	memset(ret_identity, source->identity, sizeof(*ret_identity));
	return 0; /* all zeros is none */
}

static inline struct lazymem_backing_operations source_operations(void)
{
	return (struct lazymem_backing_operations){
		.size = sizeof(struct lazymem_backing_operations),
		.read = source_read,
		.extent = source_extent,
		.read_parts = stage.in_parts ? source_read : NULL,
		.hurry = source_hurry,
		.identity = source_identity,
		.readahead = source_readahead,
	};
}

/* ---- building */

static inline void stage_build_worker(void)
{
	struct lm_worker *worker = &stage.worker;

	worker->options = (struct lm_worker_options){.demand_depth = DEMAND_SLOTS,
						     .prefetch_depth = PREFETCH_SLOTS,
						     .prefetch_piece = BUFFER_PAGES * PAGE,
						     .cpu = -1};
	worker->slots = stage.slots;
	worker->slot_count = OWN_BUFFERS + PART_SLOTS;
	worker->parts_begun = OWN_BUFFERS;
	worker->buffer_size = BUFFER_PAGES * PAGE;
	worker->buffers = calloc(OWN_BUFFERS + LM_GATHERS, worker->buffer_size);
	worker->backlog = calloc(LM_BACKLOG, sizeof(*worker->backlog));
	assert_non_null(worker->buffers);
	assert_non_null(worker->backlog);
	for (size_t i = 0; i < OWN_BUFFERS; i++) {
		struct lm_slot *slot = &worker->slots[i];

		slot->worker = worker;
		slot->buffer = worker->buffers + i * worker->buffer_size;
		slot->budget = i < DEMAND_SLOTS ? LM_BUDGET_DEMAND : LM_BUDGET_PREFETCH;
		lm_slot_list_append(
			i < DEMAND_SLOTS ? &worker->free_demand : &worker->free_prefetch, slot);
	}
	worker->gathers = stage.gathers;
	for (size_t i = 0; i < LM_GATHERS; i++) {
		stage.gathers[i].buffer = worker->buffers + (OWN_BUFFERS + i) * worker->buffer_size;
		stage.gathers[i].next = worker->free_gathers;
		worker->free_gathers = &stage.gathers[i];
	}
	lm_slot_own_thread(worker);
}

static inline struct lazymem_mapping *stage_mapping(size_t length)
{
	struct lazymem_mapping *mapping = NULL;

	if (stage.kind == PRIVATE)
		assert_int_equal(lazymem_mapping_create_anonymous(length, NULL, &mapping), 0);
	else
		assert_int_equal(lazymem_mapping_create_memfd(length, NULL, &mapping), 0);
	return mapping;
}

/* Make believe that the pages are larger than they are. */
static inline void stage_enlarge_pages(struct lm_lazy_region *region, size_t pages)
{
	region->page_size = GIANT_PAGES * PAGE;
	region->page_shift = (unsigned)__builtin_ctzl(region->page_size);
	lm_page_map_destroy(&region->map);
	assert_int_equal(lm_page_map_create(pages, &region->map), 0);
}

static inline void stage_build_region(size_t index, struct lazymem_mapping *mapping,
				      struct lazymem_backing *backing, size_t pages)
{
	struct lm_lazy_region *region = &stage.regions[index];

	assert_int_equal(
		lazymem_region_create(mapping, (lazymem_guest_address){GUEST + index * GUEST_STEP},
				      backing, index * lazymem_mapping_span(mapping).length,
				      &stage.objects[index]),
		0);
	region->attachment = &stage.attachment;
	region->mapping = mapping;
	assert_int_equal(lm_lazy_region_create(stage.objects[index], true, region), 0);
	lazymem_mapping_unref(mapping);
	region->registered = true;
	region->first_index = index * pages;
	region->can = LM_CAN_COPY | LM_CAN_POISON;
	if (stage.kind != GIANT)
		region->can |= LM_CAN_ZERO;
	if (stage.kind != PRIVATE)
		region->can |= LM_CAN_CONTINUE;
	if (stage.kind == GIANT)
		stage_enlarge_pages(region, pages);
}

/* `count` regions of `pages` pages each; their hosts ascend as their guests do,
 * and their bytes lie one after the other in the source. */
static inline void stage_open_as(enum kind kind, size_t pages, size_t count, bool in_parts)
{
	struct lazymem_backing_operations operations;
	size_t length = pages * PAGE * (kind == GIANT ? GIANT_PAGES : 1);
	struct lazymem_mapping *mappings[MOST_REGIONS];
	struct lazymem_backing *backing = NULL;

	memset(&stage, 0, sizeof(stage));
	kernel_reset();
	stage.kind = kind;
	stage.in_parts = in_parts;
	operations = source_operations();
	assert_true(count * length / PAGE <= MOST_PAGES);
	stage_build_worker();
	assert_int_equal(lazymem_backing_create(&operations, &stage.source, count * length,
						"source", &backing),
			 0);
	for (size_t i = 0; i < count; i++) { /* by insertion */
		struct lazymem_mapping *mapping = stage_mapping(length);
		size_t place = i;

		for (; place > 0 && lazymem_mapping_span(mappings[place - 1]).host >
					    lazymem_mapping_span(mapping).host;
		     place--)
			mappings[place] = mappings[place - 1];
		mappings[place] = mapping;
	}
	stage.attachment.worker = &stage.worker;
	stage.attachment.fd = UFFD;
	stage.attachment.regions = stage.regions;
	stage.attachment.region_count = count;
	pthread_rwlock_init(&stage.attachment.lock, NULL);
	assert_int_equal(lm_jobs_create(&stage.attachment.jobs), 0);
	for (size_t i = 0; i < count; i++)
		stage_build_region(i, mappings[i], backing, pages);
	lazymem_backing_unref(backing); /* the regions have theirs */
}

static inline void stage_open(enum kind kind, size_t pages, size_t count)
{
	stage_open_as(kind, pages, count, false);
}

static inline void stage_open_in_parts(enum kind kind, size_t pages, size_t count)
{
	stage_open_as(kind, pages, count, true);
}

static inline int stage_close(void **state)
{
	(void)state;
	lm_jobs_destroy(&stage.attachment.jobs);
	if (stage.attachment.recorder.touches != NULL)
		lm_recorder_destroy(&stage.attachment.recorder);
	for (size_t i = 0; i < stage.attachment.region_count; i++) {
		lm_lazy_region_destroy(&stage.regions[i]);
		lazymem_region_unref(stage.objects[i]);
	}
	pthread_rwlock_destroy(&stage.attachment.lock);
	free(stage.worker.buffers);
	free(stage.worker.backlog);
	lm_slot_own_thread(NULL);
	return 0;
}

static inline int stage_private(void **state)
{
	(void)state;
	stage_open(PRIVATE, 32, 1);
	return 0;
}

static inline int stage_shared(void **state)
{
	(void)state;
	stage_open(SHARED, 32, 1);
	return 0;
}

static inline int stage_giant(void **state)
{
	(void)state;
	stage_open(GIANT, 4, 1);
	return 0;
}

#define ON_PRIVATE(test) cmocka_unit_test_setup_teardown(test, stage_private, stage_close)
#define ON_SHARED(test) cmocka_unit_test_setup_teardown(test, stage_shared, stage_close)
#define ON_GIANT(test) cmocka_unit_test_setup_teardown(test, stage_giant, stage_close)

/* ---- slots */

/* A slot that has claimed pages of region 0. */
static inline struct lm_slot *claim_slot(size_t first, size_t count, size_t demanded)
{
	struct lm_slot *slot = lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
					     demanded > 0 ? LM_BUDGET_DEMAND : LM_BUDGET_PREFETCH);

	assert_non_null(slot);
	slot->first = first;
	slot->count = count;
	slot->demanded = demanded;
	slot->since = lm_clock_ns();
	assert_int_equal(lm_page_map_claim(&stage.regions[0].map, first, count), count);
	return slot;
}

/* The same, and its buffer has been read. */
static inline struct lm_slot *read_slot(size_t first, size_t count, size_t demanded)
{
	struct lm_slot *slot = claim_slot(first, count, demanded);

	slot->is_read = true;
	for (size_t i = 0; i < count * PAGE; i++)
		slot->buffer[i] = (char)byte_of(first + i / PAGE);
	return slot;
}

/* A slot of claimed pages with a content that needs no read. */
static inline struct lm_slot *content_slot(size_t first, size_t count, size_t demanded,
					   enum lm_content content)
{
	struct lm_slot *slot = claim_slot(first, count, demanded);

	slot->content = content;
	return slot;
}

/* A slot for one fault in a page that is in another state than MISSING. */
static inline struct lm_slot *settle_slot(size_t page)
{
	struct lm_slot *slot = lm_slot_start(&stage.worker, &stage.attachment, &stage.regions[0],
					     LM_BUDGET_DEMAND);

	assert_non_null(slot);
	slot->first = page;
	slot->count = slot->demanded = 1;
	slot->since = lm_clock_ns();
	slot->content = LM_CONTENT_ZERO;
	return slot;
}

/* ---- the state of the stage */

static inline enum lm_page_state state_of(size_t page)
{
	return lm_page_map_get(&stage.regions[0].map, page);
}

static inline void discard(size_t page, size_t count)
{
	lm_attachment_mark_discarded(&stage.attachment, &stage.regions[0], page, count, NULL);
}

/* Bring pages that are MISSING into a state. */
static inline void set_state(size_t page, size_t count, enum lm_page_state to)
{
	struct lm_page_map *map = &stage.regions[0].map;

	for (size_t i = page; i < page + count; i++)
		atomic_store(&map->pages[i], (uint8_t)to);
	if (to == LM_PAGE_POISONED)
		atomic_fetch_add(&stage.attachment.poisoned, count);
}

static inline uint64_t counter(enum lm_counter which)
{
	return atomic_load(&stage.attachment.statistics.counters[which]);
}

static inline void stage_resume(struct lm_slot *slot)
{
	if (slot->gather != NULL && slot->gather->in_flight)
		lm_gather_resume(slot->gather);
	else
		lm_slot_resume(slot);
}

/* Go on with everything that has been read, as the worker's loop does. */
static inline void run_reads(void)
{
	struct lm_slot *slot;

	while ((slot = lm_slot_list_take(&stage.worker.read_demand)) != NULL ||
	       (slot = lm_slot_list_take(&stage.worker.read_prefetch)) != NULL)
		stage_resume(slot);
}

/* Go on with the one slot that waits for a time. */
static inline void run_delayed(void)
{
	struct lm_slot *slot = lm_slot_list_take(&stage.worker.delayed);

	assert_non_null(slot);
	lm_slot_advance(slot);
}

static inline bool is_delayed(const struct lm_slot *slot)
{
	for (const struct lm_slot *at = stage.worker.delayed.first; at != NULL; at = at->next)
		if (at == slot)
			return true;
	return false;
}

static inline uint64_t host_of(size_t page)
{
	return (uintptr_t)lm_lazy_region_host(&stage.regions[0], page);
}

/* Call number `index` of a verb was for these pages of region 0. */
static inline void assert_call(enum verb verb, size_t index, size_t page, size_t count)
{
	const struct call *call = call_of(verb, index);

	assert_int_equal(call->start, host_of(page));
	assert_int_equal(call->length, count << stage.regions[0].page_shift);
}

static inline void assert_states(size_t page, size_t count, enum lm_page_state expected)
{
	for (size_t i = page; i < page + count; i++)
		assert_int_equal(state_of(i), expected);
}

/* The memory itself holds what the source has at this page of region 0. */
static inline bool holds_source(size_t page)
{
	const unsigned char *host = (const unsigned char *)(uintptr_t)host_of(page);

	return host[0] == byte_of(page) && host[PAGE - 1] == byte_of(page);
}

/* Every fault has ended in one counter. */
static inline void assert_outcome(enum lm_counter which, uint64_t count)
{
	uint64_t sum = 0;

	for (enum lm_counter i = LM_COPIED; i <= LM_FAILED; i++)
		sum += counter(i);
	assert_int_equal(counter(which), count);
	assert_int_equal(sum, count);
}

#endif
