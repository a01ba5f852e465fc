/* SPDX-License-Identifier: MIT
 *
 * contract_guest.h - what a guest and its monitor do to attached memory, at random;
 * each act is done to the model too, and checked at once.
 */
#ifndef TEST_CONTRACT_GUEST_H
#define TEST_CONTRACT_GUEST_H

#include "contract_world.h"

void guest_reads(struct world *w);
void guest_writes(struct world *w);
void guest_reads_by_address(struct world *w);
void guest_writes_by_address(struct world *w);
void guest_calls_the_system(struct world *w);
void guest_is_prefetched(struct world *w);
void guest_prefetches_are_over(struct world *w);
void guest_discards(struct world *w);
void guest_is_advised_away(struct world *w); /* anonymous memory only; else nothing */

#endif
