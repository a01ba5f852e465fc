/* SPDX-License-Identifier: MIT
 *
 * fault.h - what went wrong, as one sentence that names the culprit: left per
 * thread by whoever found it, and told by whoever was asked: on standard error by a
 * command, as the answer of a control connection by a verb.
 */
#ifndef LAZYVM_FAULT_H
#define LAZYVM_FAULT_H

/* Leave a sentence. Always -1. */
int fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The sentence of the library's last failure on this thread, after `what` and a colon; NULL: alone.
 * Always -1. */
int fault_of_library(const char *what);

/* The last sentence on this thread; never NULL. */
const char *fault_message(void);

#endif
