/* SPDX-License-Identifier: MIT
 *
 * progress.h - one line on a terminal that says how far a long run has come;
 * nothing at all when standard error is no terminal.
 */
#ifndef SUPPORT_PROGRESS_H
#define SUPPORT_PROGRESS_H

/* Replace the line. */
void progress_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Remove the line, before anything else is printed. */
void progress_clear(void);

#endif
