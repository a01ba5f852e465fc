/* SPDX-License-Identifier: MIT
 *
 * overlay_map.h - where each block of an overlay has its content, in memory; and
 * which of it the file has, is being given, and is not yet given.
 */
#ifndef LM_OVERLAY_MAP_H
#define LM_OVERLAY_MAP_H

#include "backing/overlay_format.h"

#include <stdatomic.h>
#include <stdbool.h>

struct lm_overlay_map {
	struct lm_overlay_header header;
	uint64_t blocks;
	uint64_t sectors;
	_Atomic uint64_t *words;   /* as reads see it */
	_Atomic uint64_t overlaid; /* blocks that are not BASE */
	uint64_t *durable;         /* as the last good flush left it; NULL: read-only */
	unsigned char *staged;     /* sectors as they are being written */
	unsigned char *marks;      /* of each sector, see overlay_map.c */
};

/* All blocks BASE. -ENOMEM. */
int lm_overlay_map_create(const struct lm_overlay_header *header, bool is_writable,
			  struct lm_overlay_map *map);
void lm_overlay_map_destroy(struct lm_overlay_map *map);

/* What the file has of a sector, before the map is used. */
void lm_overlay_map_load(struct lm_overlay_map *map, uint64_t number, const uint64_t *words);

/* ---- any thread, no lock */

enum lm_overlay_state lm_overlay_map_get(const struct lm_overlay_map *map, uint64_t block);

/* The state at `offset`, and of how many of the `length` bytes from there on, all
 * inside the object; it may be the same beyond. */
uint64_t lm_overlay_map_run(const struct lm_overlay_map *map, uint64_t offset, uint64_t length,
			    enum lm_overlay_state *ret_state);

/* How many blocks are in a state. */
uint64_t lm_overlay_map_count(const struct lm_overlay_map *map, enum lm_overlay_state state);

/* ---- under the lock of the overlay */

/* `count` blocks from `first` on. */
void lm_overlay_map_set(struct lm_overlay_map *map, uint64_t first, uint64_t count,
			enum lm_overlay_state state);

/* Copy what the file does not have yet, to be written; false: nothing. */
bool lm_overlay_map_stage(struct lm_overlay_map *map);

/* It is durable. */
void lm_overlay_map_settle(struct lm_overlay_map *map);

/* It may not be: back to what is. */
void lm_overlay_map_revert(struct lm_overlay_map *map);

/* The next run of staged sectors from `number` on; false: none. Their bytes stay as
 * they are until settle or revert. */
bool lm_overlay_map_staged(const struct lm_overlay_map *map, uint64_t number, uint64_t *ret_first,
			   uint64_t *ret_count);

#endif
