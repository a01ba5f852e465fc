/* SPDX-License-Identifier: MIT
 *
 * interrupt.h - while a file with a name is being made: SIGINT and SIGTERM are
 * noted, so that the file can be removed before they end this process.
 */
#ifndef UFFDBENCH_INTERRUPT_H
#define UFFDBENCH_INTERRUPT_H

#include <stdbool.h>

/* From here on they are noted, and system calls are cut short. */
void interrupt_begin(void);

/* Has one come? */
bool interrupt_came(void);

/* As before interrupt_begin; one that has come ends this process now, as it
 * would have without us. */
void interrupt_end(void);

#endif
