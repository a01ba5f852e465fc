/* SPDX-License-Identifier: MIT
 *
 * write_pieces.h - guest memory to a backing object, in large pieces, several at
 * a time.
 */
#ifndef LM_WRITE_PIECES_H
#define LM_WRITE_PIECES_H

#include "uffd/lazy_region.h"

#include <lazymem/dirty.h>

/* Write every range of the set that lies in the region, in ascending order: bytes, or,
 * where pages were discarded, a hole. 0, or the first error, with the place in
 * the message; by then nothing is in flight. Not on a worker. */
int lm_write_pieces(struct lm_lazy_region *region, const struct lazymem_dirty *dirty);

#endif
