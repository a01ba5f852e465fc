/* SPDX-License-Identifier: MIT
 *
 * slot.h - one run of pages on its way: claimed, read, installed.
 *
 * Slots and their buffers are made with the worker; serving a fault allocates
 * nothing. A slot that is in use is in exactly one of four places: with its
 * backing object (reading), in a list of those that were read, in the list of
 * those that wait for a time, or in the hands of a worker function.
 */
#ifndef LM_SLOT_H
#define LM_SLOT_H

#include "uffd/attachment.h"

enum lm_content {
	LM_CONTENT_BYTES,  /* what was read into the buffer */
	LM_CONTENT_ZERO,   /* zero by content: a hole, or discarded */
	LM_CONTENT_POISON, /* nothing: an access shall fail */
};

/* Demand and prefetch have slots of their own, so that neither takes the other's.
 * Slots for parts have no buffer of their own, but a part of a gather's. */
enum lm_budget { LM_BUDGET_DEMAND, LM_BUDGET_PREFETCH, LM_BUDGET_PART };

/* Runs that one read gathers, and reads of this kind under way. */
#define LM_GATHER_PARTS 128
#define LM_GATHERS 3

/* One read for several runs of pages, wherever in guest memory they lie: each
 * run is a slot, and lives as any other once the read is over. The gather is
 * free again when the last of its slots is. See gather.c. */
struct lm_gather {
	struct lazymem_read read; /* its context is the first slot */
	struct lazymem_read_part parts[LM_GATHER_PARTS];
	struct lm_slot *slots[LM_GATHER_PARTS];
	struct lm_gather_run {
		struct lm_lazy_region *region;
		size_t first; /* page */
		size_t count;
	} runs[LM_GATHER_PARTS]; /* of the slots, for when they are over */
	size_t count;
	size_t left; /* of these, not over yet; and one while they are gone through */
	char *buffer;
	size_t size;            /* bytes that it may have, at most */
	bool in_flight;         /* the read */
	bool is_quiet;          /* who waits is woken when all are installed: */
	struct lm_slot *ended;  /* slots that count their faults then */
	struct lm_gather *next; /* in the list of free ones */
};

/* Faults that joined a slot under way and whose arrival is kept one by one. */
#define LM_SLOT_JOINED 16

struct lm_slot {
	struct lazymem_read read;
	struct lm_slot *next;
	struct lm_worker *worker;
	char *buffer;
	enum lm_budget budget;    /* where it comes from and goes back to */
	struct lm_gather *gather; /* whose buffer it has a part of, or NULL */
	bool demand;              /* a fault waits for it; else a job's */
	size_t in_flight;         /* bytes of a job's read, which are limited */

	struct lazymem_attachment *attachment;
	struct lm_lazy_region *region;
	struct lm_job *job; /* of a prefetch */
	size_t job_range;   /* which range of the job this piece is in */
	size_t first;       /* page */
	size_t count;       /* pages, claimed when the slot was started */
	size_t installed;   /* of these, done with, from the first one on */
	size_t demanded;    /* of these, asked for by a fault, from the first one on */
	size_t filled;      /* bytes of a page larger than the buffer that are in the alias */
	enum lm_content content;
	bool is_read;       /* the buffer holds the bytes */
	bool healing;       /* the page was poisoned when it was claimed */
	bool write;         /* for a write to a protected page */
	bool own;           /* for a fault in the region's own mapping, not in a view */
	int error;          /* of the read, or of the populate */
	unsigned attempts;  /* failures so far */
	unsigned postponed; /* populates in a row that found the layout changing */
	uint64_t joined_since[LM_SLOT_JOINED]; /* when faults for its pages came later, ns */
	unsigned joined; /* how many; of those beyond the array only the number is kept */
	bool in_use;
	size_t ended[LM_OUTCOMES]; /* how its demanded pages ended: counted when it is over */
	uint64_t since;            /* when the fault was read, ns */
	uint64_t due;              /* when to go on, ns */
};

struct lm_slot_list {
	struct lm_slot *first, *last;
	size_t count;
};

/* Does its gather wake who waits for its pages, once for all of its slots? */
static inline bool lm_slot_is_quiet(const struct lm_slot *slot)
{
	return slot->gather != NULL && slot->gather->is_quiet;
}

/* Does a fault wait for it? */
static inline bool lm_slot_is_awaited(const struct lm_slot *slot)
{
	return slot->demand || slot->joined > 0;
}

void lm_slot_list_append(struct lm_slot_list *list, struct lm_slot *slot);
void lm_slot_list_prepend(struct lm_slot_list *list, struct lm_slot *slot);
struct lm_slot *lm_slot_list_take(struct lm_slot_list *list); /* the first; NULL when empty */

/* A free slot for pages of an attachment; NULL when the budget is used up. */
struct lm_slot *lm_slot_start(struct lm_worker *worker, struct lazymem_attachment *attachment,
			      struct lm_lazy_region *region, enum lm_budget budget);

/* `count` more faults, read at time `since`, wait for a page of a slot that is under way. A
 * read that went off in the background is hurried with the first of them. */
void lm_slot_join(struct lm_slot *slot, unsigned count, uint64_t since);

/* The slot that has claimed the page and not settled it yet, or NULL. */
struct lm_slot *lm_slot_find(struct lm_worker *worker, const struct lm_lazy_region *region,
			     size_t page);

/* Do faults wait for slots of the attachment that are not this gather's? */
bool lm_slot_others_awaited(const struct lazymem_attachment *attachment,
			    const struct lm_gather *gather);

/* Pages that one slot can take in this region. */
size_t lm_slot_capacity(const struct lm_worker *worker, const struct lm_lazy_region *region);

/* Give the claims of the pages that are not installed back, but for the first
 * `keep` of them, and wake who waits. */
void lm_slot_give_back(struct lm_slot *slot, size_t keep);

/* One slot less has a part of the gather's buffer; or nobody goes through them any more. */
void lm_gather_leave(struct lm_worker *worker, struct lm_gather *gather);

/* Back to the free slots without having been used; after all was done. */
void lm_slot_cancel(struct lm_slot *slot);
void lm_slot_end(struct lm_slot *slot);

/* This thread is `worker`. Is it the slot's? Is it one of any handler, which must not wait for a
 * worker? */
void lm_slot_own_thread(struct lm_worker *worker);
bool lm_slot_is_own(const struct lm_slot *slot);
bool lm_slot_on_worker(void);

#endif
