/* SPDX-License-Identifier: MIT
 *
 * trace.h - a recorded trace as a workload.
 */
#ifndef UFFDBENCH_TRACE_H
#define UFFDBENCH_TRACE_H

#include "touches.h"

/* trace:FILE. */
int trace_create(const char *path, struct workload *workload);

#endif
