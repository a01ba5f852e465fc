/* SPDX-License-Identifier: MIT
 *
 * control_words.h - a line of the control socket: words with spaces between
 * them. In a word, a backslash stands before a space and before a backslash.
 */
#ifndef LAZYVM_CONTROL_WORDS_H
#define LAZYVM_CONTROL_WORDS_H

#include <stddef.h>
#include <sys/un.h>

/* Cut a line into words, in place; there is at least one, and at most CONTROL_WORDS_MAX. 0, or -1
 * and a sentence. */
int control_split(char *line, char **words, size_t *ret_count);

/* The other way, with a newline at its end. Its length, or -1 and a sentence. */
int control_join(char *const *words, size_t count, char *line, size_t size);

/* Read up to a newline, which is cut off. The length; -EMSGSIZE: it does not fit, -EBADMSG: it is
 * no text, -ECONNRESET: the connection has ended, or -errno. */
int control_read_line(int fd, char *line, size_t size);

int control_address(const char *path, struct sockaddr_un *ret_address);

#endif
