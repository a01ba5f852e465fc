/* SPDX-License-Identifier: MIT
 *
 * uffdbench_dirty_bend.c - preloaded into uffdbench, has the kernel answer
 * wrongly: BEND=scan forgets the last of several ranges of written pages, BEND=write changes
 * a byte of each page on its way to a file.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE 4096u
#define PAGEMAP_SCAN_TYPE 'f'
#define PAGEMAP_SCAN_NUMBER 16

static bool bends(const char *what)
{
	const char *wanted = getenv("BEND");

	return wanted != NULL && strcmp(wanted, what) == 0;
}

__attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) =
		(int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	va_list arguments;
	int result;

	va_start(arguments, request);
	result = next(fd, request, va_arg(arguments, void *));
	va_end(arguments);
	if (result > 1 && _IOC_TYPE(request) == PAGEMAP_SCAN_TYPE &&
	    _IOC_NR(request) == PAGEMAP_SCAN_NUMBER && bends("scan"))
		result--;
	return result;
}

__attribute__((visibility("default"))) ssize_t pwrite(int fd, const void *bytes, size_t length,
						      off_t offset)
{
	ssize_t (*next)(int, const void *, size_t, off_t) =
		(ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
	char page[PAGE];

	if (length != PAGE || !bends("write"))
		return next(fd, bytes, length, offset);
	memcpy(page, bytes, PAGE);
	page[PAGE - 1] ^= 1;
	return next(fd, page, length, offset);
}
