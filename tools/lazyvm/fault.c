/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <lazymem/common.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char sentence[1024];

int fault(const char *format, ...)
{
	char made[sizeof(sentence)]; /* an argument may be the last sentence */
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(made, sizeof(made), format, arguments);
	va_end(arguments);
	memcpy(sentence, made, sizeof(sentence));
	return -1;
}

int fault_of_library(const char *what)
{
	if (what == NULL)
		return fault("%s", lazymem_error_message());
	return fault("%s: %s", what, lazymem_error_message());
}

const char *fault_message(void)
{
	return sentence;
}
