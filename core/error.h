/* SPDX-License-Identifier: MIT
 *
 * error.h - sets the message that lazymem_error_message returns.
 */
#ifndef LM_ERROR_H
#define LM_ERROR_H

/* Keep one sentence for this thread and return `error`, a negative errno
 * value: `return lm_error(-EINVAL, "length %zu is zero", length);` */
int lm_error(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, with ": " and the text of the errno value at the end. */
int lm_error_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
