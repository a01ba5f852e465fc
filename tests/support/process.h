/* SPDX-License-Identifier: MIT
 *
 * process.h - what this process holds, as /proc tells it.
 */
#ifndef TEST_PROCESS_H
#define TEST_PROCESS_H

#include "harness.h"

/* What a failed call must not leave behind. */
struct residue {
	size_t descriptors;
	size_t threads;
	size_t mappings;
};

struct residue residue_now(void);

/* No more than `before`. Threads that have ended may take a moment to go; a
 * sanitizer maps memory of its own, so then mappings are not counted. */
void assert_nothing_left(struct residue before);

/* The sum of a field of smaps ("AnonHugePages") over the mappings in the range, KiB. */
size_t smaps_kib(const void *start, size_t length, const char *field);

/* Is any of the range registered with a userfaultfd? */
bool is_registered(const void *start, size_t length);

/* Each thread but the first blocks the signals that a process may be sent. */
void assert_other_threads_take_no_signals(void);

/* A field of /proc/self/status ("VmSize"), KiB. */
size_t status_kib(const char *field);

#endif
