/* SPDX-License-Identifier: MIT
 *
 * error.c - one sentence per thread about its last failure.
 *
 * The sentence lives in thread-local storage, so that reporting a failure
 * needs no allocation and no lock, and an ENOMEM can be reported like anything
 * else. It is bounded; one that does not fit ends in "...". A new sentence is
 * put together aside and then copied, because it may quote the one before.
 */
#include "core/error.h"

#include <lazymem/common.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_SIZE = 1024 };

static _Thread_local char message[MESSAGE_SIZE];

const char *lazymem_error_message(void)
{
	return message;
}

/* Append to text, of which `used` bytes are taken; the new number of them. */
static size_t append(char *text, size_t used, const char *format, va_list arguments)
	__attribute__((format(printf, 3, 0)));

static size_t append(char *text, size_t used, const char *format, va_list arguments)
{
	static const char mark[] = "...";
	const int length = vsnprintf(text + used, MESSAGE_SIZE - used, format, arguments);

	if (length < 0)
		return used;
	if ((size_t)length < MESSAGE_SIZE - used)
		return used + (size_t)length;
	memcpy(text + MESSAGE_SIZE - sizeof(mark), mark, sizeof(mark));
	return MESSAGE_SIZE - 1;
}

static void append_reason(char *text, size_t used, int error)
{
	char reason[128];
	const char *words = strerror_r(-error, reason, sizeof(reason));

	snprintf(text + used, MESSAGE_SIZE - used, ": %s", words);
}

int lm_error(int error, const char *format, ...)
{
	char text[MESSAGE_SIZE] = "";
	va_list arguments;

	va_start(arguments, format);
	append(text, 0, format, arguments);
	va_end(arguments);
	memcpy(message, text, sizeof(message));
	return error;
}

int lm_error_errno(int error, const char *format, ...)
{
	char text[MESSAGE_SIZE] = "";
	size_t used;
	va_list arguments;

	va_start(arguments, format);
	used = append(text, 0, format, arguments);
	va_end(arguments);
	append_reason(text, used, error);
	memcpy(message, text, sizeof(message));
	return error;
}
