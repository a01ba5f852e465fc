/* SPDX-License-Identifier: MIT
 *
 * recorded_trace.h - the recorded set of a workload as a trace.
 */
#ifndef UFFDBENCH_RECORDED_TRACE_H
#define UFFDBENCH_RECORDED_TRACE_H

#include "touches.h"

#include <lazymem/trace.h>

/* In the order of first touch, bound to nothing. 0, or what the library answered. */
int recorded_trace(const struct workload *workload, struct lazymem_trace **ret_trace);

#endif
