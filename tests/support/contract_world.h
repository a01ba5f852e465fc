/* SPDX-License-Identifier: MIT
 *
 * contract_world.h - guest memory of two regions over one backing object, everything
 * about them at random, beside its model. Whatever differs fails the test.
 */
#ifndef TEST_CONTRACT_WORLD_H
#define TEST_CONTRACT_WORLD_H

#include "contract_model.h"
#include "contract_storage.h"
#include <lazymem/moment.h>

/* At most so many pages of 2 MiB. */
#define WORLD_HUGE_PAGES 4u

struct world_region {
	struct lazymem_mapping *mapping;
	unsigned char *host;
	uint64_t guest;  /* guest address */
	uint64_t offset; /* in the backing object */
	size_t first;    /* page of the model */
	size_t count;    /* pages */
};

/* Snapshots of the memory: see contract_moment.c. */
struct world_chain {
	struct lazymem_moment *moment;
	bool is_taken;
	bool is_first; /* no moment of this attachment was written */
	bool follows;  /* `newest` is what the next moment is a layer over */
	struct lazymem_snapshot *newest;
	unsigned char *bytes; /* of `newest`, in the order of the model */
	unsigned files;
	struct lazymem_identity origin; /* of what is attached, if it has_origin */
	bool has_origin;
};

struct world {
	enum memory_kind kind;
	enum lazymem_tracking tracking;
	uint64_t seed, first_seed;
	size_t count, size; /* pages, bytes of a page */
	struct model model;
	struct storage storage;
	struct world_chain chain;
	bool writes_back;
	unsigned char *image;  /* as storage had it at first */
	unsigned char *buffer; /* as long as the memory */
	uint64_t gap;          /* bytes between the regions */
	bool has_plain;        /* a region there that is not filled lazily */
	unsigned flags;        /* LAZYMEM_MAPPING_* */
	unsigned patience;     /* how often a failed read is tried again */
	bool reads_ahead;      /* after a fault, pages behind it may be under way */
	bool prefetching;      /* something may be under way */

	struct lazymem_handler *handler;
	struct lazymem_memory *memory;
	struct lazymem_attachment *attachment; /* NULL: let go */
	struct lazymem_dirty *dirty;
	struct world_region regions[2];
};

/* Make one, which is not attached yet. End it once its memory is unmapped. */
void world_begin(struct world *w, enum memory_kind kind, enum lazymem_tracking tracking,
		 uint64_t seed);
void world_end(struct world *w);

/* Map memory for what storage holds, which the model has, and attach it; and, once it is
 * let go of, unmap it. */
void world_attach(struct world *w);
void world_unmap(struct world *w);

/* Say what is done; and what was, in a world that was not ended. */
void world_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void world_report(void);

uint64_t world_random(struct world *w, uint64_t limit);

/* A random run of pages, inside one region, or in both where they touch. */
void world_pick(struct world *w, size_t most, size_t *ret_page, size_t *ret_count);

/* Where a page is. */
const struct world_region *world_region_of(const struct world *w, size_t page);
unsigned char *world_host(const struct world *w, size_t page);
lazymem_guest_address world_address(const struct world *w, size_t page);
uint64_t world_offset(const struct world *w, size_t page);

/* ---- accesses ---------------------------------------------------------------- */

/* Can an access of the page be refused? Then tell the model whether it was, which fails the
 * test when that cannot be. */
bool world_may_refuse(struct world *w, size_t page);
void world_accessed(struct world *w, size_t page, bool could, bool refused);

/* Read a byte of the page, or write it: is that served? */
bool world_read(struct world *w, size_t page, size_t byte);
bool world_write(struct world *w, size_t page, size_t byte, unsigned char value);

/* Read pages, which are as the model has them, or may be refused. */
void world_check_page(struct world *w, size_t page);
void world_check_all(struct world *w);

/* After letting go: as the model has it, or, where that has not finished, refused. */
void world_check_let_go(struct world *w, bool finished);

/* ---- what else must hold ----------------------------------------------------- */

/* Expect `length` bytes of a page; `what` are they? */
void world_compare(const struct world *w, size_t page, const unsigned char *got,
		   const unsigned char *expected, size_t length, const char *what);

/* Storage holds what it must if the power failed now. */
void world_check_durable(struct world *w);

/* The counters add up, and agree with the model. */
void world_check_statistics(struct world *w);

/* What is told is all that must be, and nothing that cannot be. */
void world_check_told(const struct world *w, const struct lazymem_dirty *told, const char *to,
		      bool (*must)(const struct model_page *page));

#endif
