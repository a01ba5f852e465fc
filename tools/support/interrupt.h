/* SPDX-License-Identifier: MIT
 *
 * interrupt.h - SIGINT, SIGTERM and SIGHUP while a file is written: the
 * unfinished file is removed, and then the process ends by the signal. Another
 * signal, some seconds later, ends it at once.
 */
#ifndef SUPPORT_INTERRUPT_H
#define SUPPORT_INTERRUPT_H

#include <stdbool.h>

/* From now on, signals are only noticed. */
void interrupt_defer(void);

bool interrupt_came(void);

/* Nothing is left to be removed: end by the signal, if one came; else they mean
 * again what they meant before. */
void interrupt_deliver(void);

#endif
