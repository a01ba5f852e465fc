/* SPDX-License-Identifier: MIT
 *
 * contract_model.h - what guest memory that is filled lazily and written back has
 * to be, as plain arrays: what the guest reads, what its backing object must hold
 * if the power fails now, what the moment that was taken holds. Beside them, for
 * each page, what must be told, synced and snapshot. Knows nothing of lazymem.
 *
 * Pages are numbered in the order of their guest addresses.
 */
#ifndef TEST_CONTRACT_MODEL_H
#define TEST_CONTRACT_MODEL_H

#include "harness.h"

/* Some of it depends on what another thread has got to by now. */
enum certainty { NO, MAYBE, YES };

struct model_version;

struct model_page {
	enum certainty present;  /* no access of it reads the backing object */
	enum certainty poisoned; /* an access of it is refused */
	bool was_poisoned;
	bool was_unmapped; /* what was known of writes has gone with its page table entry */
	/* Written or discarded since it was last */
	bool untold;   /* collected */
	bool unsynced; /* made durable */
	bool changed;  /* in a moment */
	bool in_moment;
	bool discarded;       /* and not written since */
	bool given_back;      /* the same, and not even read */
	bool taken_discarded; /* the same, of the moment that was taken */
	/* What syncs that failed may have left of it in the object. */
	struct model_version *tried;
};

struct model {
	size_t count; /* pages */
	size_t size;  /* bytes of a page */
	unsigned char *now, *durable, *taken;
	struct model_page *pages;
	size_t cut_page, cut; /* of this page, the backing object has only so many bytes */
};

/* `bytes`: what the object holds, with zeros after its end. */
void model_create(struct model *model, size_t count, size_t size, size_t cut_page, size_t cut,
		  const unsigned char *bytes);
void model_destroy(struct model *model);

/* How many bytes of the page the object has. */
size_t model_stored(const struct model *model, size_t page);

/* What the guest does. `start` and `length` in bytes. */
void model_written(struct model *model, size_t start, size_t length);
void model_discarded(struct model *model, size_t page, size_t count);

/* The same, by who need not be heard about pages that are discarded already. */
void model_discarded_again(struct model *model, size_t page, size_t count);

/* A sync has succeeded, or failed: then any of it may be in the object. */
void model_synced(struct model *model, size_t page, size_t count);
void model_tried(struct model *model, size_t page, size_t count);

/* May the object hold these `model_stored` bytes of the page after a failure of the power? */
bool model_may_be_durable(const struct model *model, size_t page, const unsigned char *bytes);

/* Moments. What is in one that is dropped without having been written is in the next. */
void model_taken(struct model *model);
void model_moment_written(struct model *model);
void model_moment_dropped(struct model *model);

/* Attached afresh to an object with these bytes, zeros after its end: nothing is there. */
void model_restart(struct model *model, const unsigned char *bytes);

/* Prefetches of these pages may be under way. */
void model_may_come(struct model *model, size_t page, size_t count);

#endif
