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

/* Is there a workload of this name? "functions" and "guests" are none: they name several. */
bool workload_known(const char *name);

/* The workloads that a name on the command line stands for: itself, or those of
 * "functions" or "guests". NULL when index is not below their number. */
const char *workload_member(const char *name, size_t index);

/* Make one. `memory` is a multiple of PAGE_BYTES; 0: the workload's own size.
 * 0, or -1 after a message. `name` is kept. */
int workload_create(const char *name, uint64_t memory, struct workload *ret_workload);

#endif
