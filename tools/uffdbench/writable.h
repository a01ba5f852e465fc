/* SPDX-License-Identifier: MIT */
#ifndef UFFDBENCH_WRITABLE_H
#define UFFDBENCH_WRITABLE_H

/* Can a file at `path` be written, as far as can be told without doing it?
 * `option` is for the message. 0, or -1 after a message. */
int writable_check(const char *option, const char *path);

#endif
