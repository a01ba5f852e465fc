/* SPDX-License-Identifier: MIT
 *
 * contract_moment.h - moments of the memory, each written as a layer over the one
 * before, at random points between other acts; every snapshot is read back at once.
 */
#ifndef TEST_CONTRACT_MOMENT_H
#define TEST_CONTRACT_MOMENT_H

#include "contract_world.h"

/* Before attaching: to what has nothing to do with any snapshot so far; or to the newest one. */
void moment_chain_begins(struct world *w);
void moment_chain_follows(struct world *w);

/* Before the world ends. */
void moment_chain_ends(struct world *w);

/* Begin one, copy, take, write or drop it, whatever is next. */
void moment_goes_on(struct world *w);

/* After letting go: what was taken may be written even now. */
void moment_outlives_attachment(struct world *w);

/* Fill other memory lazily from the newest snapshot, if there is one, and compare. */
void moment_is_restored(struct world *w);

/* Where the snapshot has a byte of the memory. */
uint64_t moment_offset(const struct lazymem_snapshot *snapshot, lazymem_guest_address address);

#endif
