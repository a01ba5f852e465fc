/* SPDX-License-Identifier: MIT
 *
 * progress.h - one line on a terminal that says how far a long run has come;
 * nothing at all when standard error is no terminal.
 */
#ifndef SUPPORT_PROGRESS_H
#define SUPPORT_PROGRESS_H

#include <stdint.h>

/* Replace the line. */
void progress_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replace the line by a bar; cheap to call often. */
void progress_bar(const char *what, uint64_t done, uint64_t total);

/* Remove the line, before anything else is printed. */
void progress_clear(void);

#endif
