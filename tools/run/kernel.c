/* SPDX-License-Identifier: MIT
 *
 * The calls as this library and what is linked into it make them. The linker
 * (--wrap) lets their references end here, at the kernel: what it maps and discards
 * itself must not come to the definitions in interpose.c, which are for the program.
 */
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(sizeof(long) == 8, "the kernel takes a whole offset in one register");

/* MAP_FAILED is what syscall() returns for a failure. */
static void *map(void *host, size_t length, int protection, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, host, length, protection, flags, fd, offset);
}

/* After the program's mlockall(MCL_FUTURE), mapping shared memory would populate all of it at
 * once, with zeros. So what we map for ourselves is unlocked before it can be accessed. */
static void *map_unlocked(void *host, size_t length, int protection, int flags, int fd,
			  off_t offset)
{
	void *mapped = map(host, length, PROT_NONE, flags, fd, offset);

	if (mapped != MAP_FAILED &&
	    (munlock(mapped, length) != 0 || mprotect(mapped, length, protection) != 0)) {
		const int error = errno;

		__wrap_munmap(mapped, length);
		errno = error;
		return MAP_FAILED;
	}
	return mapped;
}

void *__wrap_mmap(void *host, size_t length, int protection, int flags, int fd, off_t offset)
{
	const int memory = MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE;

	return protection != PROT_NONE && (flags & memory) == MAP_SHARED
		       ? map_unlocked(host, length, protection, flags, fd, offset)
		       : map(host, length, protection, flags, fd, offset);
}

int __wrap_munmap(void *host, size_t length)
{
	return (int)syscall(SYS_munmap, host, length);
}

void *__wrap_mremap(void *host, size_t length, size_t new_length, int flags, ...)
{
	void *new_host = NULL;
	va_list arguments;

	va_start(arguments, flags);
	if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0)
		new_host = va_arg(arguments, void *);
	va_end(arguments);
	return (void *)syscall(SYS_mremap, host, length, new_length, flags, new_host);
}

int __wrap_madvise(void *host, size_t length, int advice)
{
	return (int)syscall(SYS_madvise, host, length, advice);
}

int __wrap_remap_file_pages(void *host, size_t length, int protection, size_t page, int flags)
{
	return (int)syscall(SYS_remap_file_pages, host, length, protection, page, flags);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t length)
{
	return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int __wrap_ftruncate(int fd, off_t length)
{
	return (int)syscall(SYS_ftruncate, fd, length);
}

int __wrap_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

int __wrap_close_range(unsigned first, unsigned last, int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

int __wrap_dup2(int fd, int number)
{
	return fd == number ? (fcntl(fd, F_GETFD) < 0 ? -1 : fd) : __wrap_dup3(fd, number, 0);
}

int __wrap_dup3(int fd, int number, int flags)
{
	return (int)syscall(SYS_dup3, fd, number, flags);
}
