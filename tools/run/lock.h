/* SPDX-License-Identifier: MIT
 *
 * lock.h - the one lock of this library: over {a call to the kernel, the views
 * that go with it}. Never held while lazily filled memory is touched.
 */
#ifndef RUN_LOCK_H
#define RUN_LOCK_H

#include <stdbool.h>

/* Signals wait meanwhile: a handler may map memory too. errno is kept. */
void run_lock(void);
void run_unlock(void);

/* This thread holds it: what libraries below us call meanwhile is not the program's. */
bool run_is_locked_here(void);

#endif
