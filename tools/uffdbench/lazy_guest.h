/* SPDX-License-Identifier: MIT
 *
 * lazy_guest.h - guest memory that is filled by the library and then written:
 * one region at guest address 0, of one backing object.
 *
 * Results are 0, or -1 after a message.
 */
#ifndef UFFDBENCH_LAZY_GUEST_H
#define UFFDBENCH_LAZY_GUEST_H

#include <lazymem/handler.h>
#include <stdbool.h>

struct lazy_guest_plan {
	const char *name;                /* for messages */
	struct lazymem_backing *backing; /* NULL: of the pattern, made as it is read */
	uint64_t length;                 /* bytes */
	bool memfd;                      /* else anonymous */
	bool missing;                    /* leave it unpopulated */
	size_t prefetch_piece;           /* bytes; 0: the library's own */
	unsigned flags;                  /* LAZYMEM_ATTACH_* */
	enum lazymem_tracking most;      /* the way it tracks */
};

struct lazy_guest {
	const char *name;
	struct lazymem_mapping *mapping;
	struct lazymem_region *region;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
	void *host;
};

/* Make it, attach it and have every page populated, unless the plan says otherwise. */
int lazy_guest_open(const struct lazy_guest_plan *plan, struct lazy_guest *ret_guest);

/* Have every page populated. */
int lazy_guest_populate(const struct lazy_guest *guest);

/* Let go of whatever there is of it. */
int lazy_guest_close(struct lazy_guest *guest);

/* Say what the library said; -1. */
int lazy_guest_failed(const struct lazy_guest *guest);

#endif
