/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool shown;

void progress_show(const char *format, ...)
{
	va_list arguments;

	if (!isatty(STDERR_FILENO))
		return;
	fputs("\r\033[K", stderr);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fflush(stderr);
	shown = true;
}

void progress_bar(const char *what, uint64_t done, uint64_t total)
{
	static const char full[] = "########################################";
	static unsigned last = UINT_MAX;
	const double share = total == 0 ? 1 : (double)done / (double)total;
	const unsigned permille = (unsigned)(share * 1000);

	if (permille == last && shown)
		return;
	last = permille;
	progress_show("%s [%-40.*s] %3u %%", what, (int)(share * 40), full, permille / 10);
}

void progress_clear(void)
{
	if (!shown)
		return;
	fputs("\r\033[K", stderr);
	fflush(stderr);
	shown = false;
}
