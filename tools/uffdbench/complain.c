/* SPDX-License-Identifier: MIT */
#include "complain.h"
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>

void complain(const char *format, ...)
{
	va_list arguments;

	progress_clear();
	fflush(stdout);
	flockfile(stderr);
	fputs("uffdbench: ", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	funlockfile(stderr);
}
