/* SPDX-License-Identifier: MIT */
#include "parse_fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int parse_refuse(struct parse_fault *fault, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(fault->text, sizeof(fault->text), format, arguments);
	va_end(arguments);
	return -EBADMSG;
}
