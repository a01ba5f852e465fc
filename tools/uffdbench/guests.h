/* SPDX-License-Identifier: MIT
 *
 * guests.h - what real guests touched (W7).
 */
#ifndef UFFDBENCH_GUESTS_H
#define UFFDBENCH_GUESTS_H

#include "touches.h"

/* The guests of W7. NULL when index is not below their number. */
const char *guests_name(size_t index);
bool guests_known(const char *name);
int guests_create(const char *name, struct workload *workload);

#endif
