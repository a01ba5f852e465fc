/* SPDX-License-Identifier: MIT
 *
 * overlay_object.h - an open overlay: overlay_file.c finds or makes its file,
 * overlay.c opens it, overlay_read.c reads it, overlay_write.c writes it,
 * overlay_discard.c discards from it, overlay_flush.c makes it durable.
 */
#ifndef LM_OVERLAY_OBJECT_H
#define LM_OVERLAY_OBJECT_H

#include "backing/overlay_map.h"

#include <lazymem/backing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct lm_overlay_read;
struct lm_overlay;

/* A write under way, or one that waits for others. A discard that changes a part
 * of a block is one, too, without child and outer. */
struct lm_overlay_write {
	struct lazymem_write child; /* of the data; its context is this */
	struct lazymem_write *outer;
	struct lm_overlay *overlay;
	pthread_t thread; /* the one that outer->queue belongs to */
	struct lm_overlay_write *next, **to_this;
	struct lm_overlay_write *next_admitted;
	uint64_t offset, length;
	bool lifts;        /* it is about to bring what is around it up from the base */
	uint64_t failures; /* of flushes, when it began */
};

/* A round of the flush: all who came before it began. */
struct lm_overlay_round {
	bool is_running;
	struct lazymem_write *members;
	struct lazymem_write *waiting, **waiting_end; /* for the next one */

	/* Of whoever runs it. */
	struct lazymem_write child;
	void *queue;      /* of the first member */
	pthread_t thread; /* that it belongs to */
	atomic_uint pending;
	unsigned step;
	uint64_t sector; /* of the map: written up to here */
	bool has_map;
	int error;
};

struct lm_overlay {
	int fd; /* holds the lock of the file */
	bool is_writable;
	struct lazymem_backing *base;
	struct lazymem_backing *data;   /* the file from the first block on */
	struct lazymem_backing *sheets; /* its map; NULL: read-only */
	uint64_t length;
	struct lm_overlay_map map;

	pthread_mutex_t lock; /* of all that follows, and of changes of the map */
	pthread_cond_t lifted;
	_Atomic uint64_t failures; /* flushes that failed */
	bool is_unflushed;         /* bytes were written since the last round began, or failed */
	struct lm_overlay_write *under_way;
	struct lm_overlay_write *waiting, **waiting_end;
	struct lm_overlay_write *spare_writes;
	struct lm_overlay_read *spare_reads;
	struct lm_overlay_read *background; /* those in flight that nobody waits for */
	struct lm_overlay_round round;
};

/* ---- the file (overlay_file.c) */

/* Open and lock the file, and read its header; *ret_fd is the caller's. */
int lm_overlay_file_open(const char *path, bool is_writable, int *ret_fd,
			 struct lm_overlay_header *ret_header);

/* Make a file for an object of that length over that base, unless one is there. */
int lm_overlay_file_create(const char *path, const struct lm_overlay_header *header);

/* Read all of the map. */
int lm_overlay_file_load(int fd, const char *path, struct lm_overlay_map *map);

/* ---- operations */

void lm_overlay_read(void *object, struct lazymem_read *read);
void lm_overlay_hurry(void *object, struct lazymem_read *read);
void lm_overlay_free_reads(struct lm_overlay *overlay);

void lm_overlay_write(void *object, struct lazymem_write *write);
void lm_overlay_free_writes(struct lm_overlay *overlay);

int lm_overlay_discard(void *object, uint64_t offset, uint64_t length);

void lm_overlay_flush(void *object, struct lazymem_write *flush);

/* Flush what is not durable, on this thread; nothing is in flight. */
void lm_overlay_flush_last(struct lm_overlay *overlay);

/* ---- what writes and discards share (overlay_write.c) */

/* The blocks that [offset, offset + length) covers wholly; the last block is
 * covered up to the end of the object. */
struct lm_overlay_blocks {
	uint64_t first;
	uint64_t count;
};
struct lm_overlay_blocks lm_overlay_whole_blocks(const struct lm_overlay *overlay, uint64_t offset,
						 uint64_t length);

/* Under the lock. Does a write conflict with one under way? */
bool lm_overlay_conflicts(const struct lm_overlay_write *write);

/* Under the lock: it is under way, until it leaves. */
void lm_overlay_enter(struct lm_overlay_write *write);

/* Bring the blocks that it covers in part up from the base, and let those go on
 * that waited for this. -EIO: a flush failed meanwhile; errors of the base and
 * the file. */
int lm_overlay_lift(struct lm_overlay_write *write);

/* It is over, with this error; those that waited for it go on. Returns the error,
 * or -EIO when a flush has failed since it began. The overlay may be gone afterwards,
 * unless the caller has a reference. */
int lm_overlay_leave(struct lm_overlay_write *write, int error);

#endif
