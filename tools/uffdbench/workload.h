/* SPDX-License-Identifier: MIT
 *
 * workload.h - which pages of a guest are touched, and in which order.
 */
#ifndef UFFDBENCH_WORKLOAD_H
#define UFFDBENCH_WORKLOAD_H

#include "touches.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is there a workload of this name? "functions" is not one: it names ten. */
bool workload_known(const char *name);

/* Make one. `memory` is a multiple of PAGE_BYTES; 0: the workload's own size.
 * 0, or -1 after a message. `name` is kept. */
int workload_create(const char *name, uint64_t memory, struct workload *ret_workload);

#endif
