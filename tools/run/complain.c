/* SPDX-License-Identifier: MIT
 *
 * Messages out of a program that is not ours. Its stdio is left alone: one of
 * its threads may hold the lock of stderr while it waits for a page, and the
 * worker that would bring the page must be able to say that it cannot.
 */
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_MAX 1024
#define PREFIX "lazymem run: "

/* Then the number may be that of any file that the program opens, the memory itself, say. */
static bool is_closed;

__attribute__((constructor)) static void look_at_stderr(void)
{
	const int saved = errno;

	is_closed = fcntl(STDERR_FILENO, F_GETFD) < 0;
	errno = saved;
}

/* In one write, so that lines of several threads do not mix. */
void complain(const char *format, ...)
{
	const size_t prefix = sizeof(PREFIX) - 1, room = MESSAGE_MAX - prefix - 1;
	const int saved = errno;
	char message[MESSAGE_MAX] = PREFIX;
	va_list arguments;
	size_t length;
	ssize_t written;
	int count;

	if (is_closed)
		return;
	va_start(arguments, format);
	count = vsnprintf(message + prefix, room, format, arguments);
	va_end(arguments);
	length = count < 0 ? 0 : (size_t)count;
	length = prefix + (length < room ? length : room - 1);
	message[length++] = '\n';
	written = write(STDERR_FILENO, message, length);
	(void)written; /* nobody is left to be told */
	errno = saved;
}
