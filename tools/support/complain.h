/* SPDX-License-Identifier: MIT
 *
 * complain.h - messages for a person. Whoever finds a failure says what is
 * wrong, once; callers only pass the failure on.
 */
#ifndef SUPPORT_COMPLAIN_H
#define SUPPORT_COMPLAIN_H

/* Exit statuses. */
enum {
	EXIT_RUN_FAILED = 1,     /* a run, a proof, a check or a file failed */
	EXIT_USAGE = 2,          /* the command line is wrong */
	EXIT_NO_PERMISSION = 77, /* userfaultfd is refused */
};

/* Write the name of the program, a colon, the message and a newline to
 * standard error. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
