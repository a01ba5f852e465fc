/* SPDX-License-Identifier: MIT
 *
 * functions.h - the working sets of ten serverless functions (W1).
 */
#ifndef UFFDBENCH_FUNCTIONS_H
#define UFFDBENCH_FUNCTIONS_H

#include "touches.h"

/* The ten functions of W1. NULL when index is not below their number. */
const char *functions_name(size_t index);
bool functions_known(const char *name);
int functions_create(const char *name, struct workload *workload);

#endif
