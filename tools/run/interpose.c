/* SPDX-License-Identifier: MIT
 *
 * What the program's calls find before they find the C library's. Each asks
 * whether a memory or a view is concerned; if not, the call goes on to where it would
 * have gone without us.
 *
 * posix_madvise(3) and posix_fallocate(3) need nothing: the C library throws no page
 * away for the one, and a page that the other allocates is still known as missing.
 */
#include "complain.h"
#include "descriptors.h"
#include "discard.h"
#include "kernel.h"
#include "lock.h"
#include "map.h"
#include "serve.h"
#include "views.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

/* The next definitions of these names. Until they are looked up, the kernel. */
static struct {
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	void *(*mremap)(void *, size_t, size_t, int, ...);
	int (*madvise)(void *, size_t, int);
	int (*remap_file_pages)(void *, size_t, int, size_t, int);
	int (*fallocate)(int, int, off_t, off_t);
	int (*ftruncate)(int, off_t);
	int (*close)(int);
	int (*close_range)(unsigned, unsigned, int);
	int (*dup2)(int, int);
	int (*dup3)(int, int, int);
} next = {
	.mmap = __wrap_mmap,
	.munmap = __wrap_munmap,
	.mremap = __wrap_mremap,
	.madvise = __wrap_madvise,
	.remap_file_pages = __wrap_remap_file_pages,
	.fallocate = __wrap_fallocate,
	.ftruncate = __wrap_ftruncate,
	.close = __wrap_close,
	.close_range = __wrap_close_range,
	.dup2 = __wrap_dup2,
	.dup3 = __wrap_dup3,
};

static void find(const char *name, void *slot)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (found != NULL)
		memcpy(slot, &found, sizeof(found));
}

__attribute__((constructor)) static void find_next(void)
{
	find("mmap", &next.mmap);
	find("munmap", &next.munmap);
	find("mremap", &next.mremap);
	find("madvise", &next.madvise);
	find("remap_file_pages", &next.remap_file_pages);
	find("fallocate", &next.fallocate);
	find("ftruncate", &next.ftruncate);
	find("close", &next.close);
	find("close_range", &next.close_range);
	find("dup2", &next.dup2);
	find("dup3", &next.dup3);
}

/* Are views there that the program may name? What libraries below us do while we hold the lock
 * is not its. */
static bool may_name_views(const void *host, size_t length)
{
	return !run_is_locked_here() && run_views_are_in(host, length);
}

static int refuse(int error)
{
	errno = error;
	return -1;
}

/* ---- mappings ---------------------------------------------------------------- */

EXPORTED void *mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset)
{
	const bool is_file = (flags & MAP_ANONYMOUS) == 0 && !run_is_locked_here();
	size_t index;

	if (is_file && run_memory_of(fd, &index))
		return run_map(index, host, length, protection, flags, fd, offset);
	if (is_file && run_is_in_place_of_memory(fd)) {
		errno = ESTALE;
		return MAP_FAILED;
	}
	if ((flags & MAP_FIXED) != 0 && may_name_views(host, length))
		return run_map_over(host, length, protection, flags, fd, offset);
	return next.mmap(host, length, protection, flags, fd, offset);
}

EXPORTED int munmap(void *host, size_t length)
{
	return may_name_views(host, length) ? run_unmap(host, length) : next.munmap(host, length);
}

EXPORTED void *mremap(void *host, size_t length, size_t new_length, int flags, ...)
{
	const bool is_fixed = (flags & MREMAP_FIXED) != 0;
	void *new_host = NULL;
	va_list arguments;

	va_start(arguments, flags);
	if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0)
		new_host = va_arg(arguments, void *);
	va_end(arguments);
	/* A length of zero names the mapping as well. */
	if (may_name_views(host, length + 1) || (is_fixed && may_name_views(new_host, new_length)))
		return run_remap(host, length, new_length, flags, new_host);
	return next.mremap(host, length, new_length, flags, new_host);
}

EXPORTED int madvise(void *host, size_t length, int advice)
{
	return may_name_views(host, length) ? run_advise(host, length, advice)
					    : next.madvise(host, length, advice);
}

/* The kernel makes a new mapping of it, without asking us. */
EXPORTED int remap_file_pages(void *host, size_t length, int protection, size_t page, int flags)
{
	if (!may_name_views(host, length))
		return next.remap_file_pages(host, length, protection, page, flags);
	complain("remap_file_pages is not possible on a memory");
	return refuse(EINVAL);
}

/* ---- files ------------------------------------------------------------------- */

EXPORTED int fallocate(int fd, int mode, off_t offset, off_t length)
{
	size_t index;

	return run_memory_of(fd, &index) ? run_allocate(index, fd, mode, offset, length)
					 : next.fallocate(fd, mode, offset, length);
}

EXPORTED int ftruncate(int fd, off_t length)
{
	size_t index;

	return run_memory_of(fd, &index) ? run_truncate(index, fd, length)
					 : next.ftruncate(fd, length);
}

/* ---- descriptors: ours are none for the program --------------------------------- */

EXPORTED int close(int fd)
{
	return run_descriptor_is_ours(fd) ? refuse(EBADF) : next.close(fd);
}

/* Around ours. */
EXPORTED int close_range(unsigned first, unsigned last, int flags)
{
	unsigned fd;

	while (flags == 0 && first <= last && run_descriptors_next(first, last, &fd)) {
		if (fd > first && next.close_range(first, fd - 1, flags) != 0)
			return -1;
		if (fd == last)
			return 0;
		first = fd + 1;
	}
	return next.close_range(first, last, flags);
}

/* Without close_range(2), which is younger, each by itself. */
EXPORTED void closefrom(int low)
{
	const long limit = sysconf(_SC_OPEN_MAX);
	const unsigned first = low > 0 ? (unsigned)low : 0;
	const int saved = errno;

	if (close_range(first, UINT_MAX, 0) != 0)
		for (int fd = (int)first; fd < limit; fd++)
			close(fd);
	errno = saved;
}

/* As when another thread was faster to open it. */
EXPORTED int dup2(int fd, int number)
{
	return run_descriptor_is_ours(number) ? refuse(EBUSY) : next.dup2(fd, number);
}

EXPORTED int dup3(int fd, int number, int flags)
{
	return run_descriptor_is_ours(number) ? refuse(EBUSY) : next.dup3(fd, number, flags);
}

/* ---- the names for large files: off_t is large ----------------------------------- */

EXPORTED void *mmap64(void *host, size_t length, int protection, int flags, int fd, off_t offset)
	__attribute__((alias("mmap")));
EXPORTED int fallocate64(int fd, int mode, off_t offset, off_t length)
	__attribute__((alias("fallocate")));
EXPORTED int ftruncate64(int fd, off_t length) __attribute__((alias("ftruncate")));
