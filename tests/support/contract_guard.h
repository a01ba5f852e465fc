/* SPDX-License-Identifier: MIT
 *
 * contract_guard.h - accesses that may be refused, many of them: actor.h's cost
 * system calls.
 */
#ifndef TEST_CONTRACT_GUARD_H
#define TEST_CONTRACT_GUARD_H

#include "harness.h"

/* From now on, SIGBUS is ours. At one that no guard expects, `unexpected` is called, and the
 * program ends. One thread. */
void guard_begin(void (*unexpected)(void));

/* Read or write a byte: false when that is refused by SIGBUS. */
bool guard_read(const unsigned char *at);
bool guard_write(unsigned char *at, unsigned char byte);

#endif
