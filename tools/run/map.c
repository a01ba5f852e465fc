/* SPDX-License-Identifier: MIT
 *
 * A view is mapped without any access first, then added, and gets its
 * protection last: nobody, be it a thread that knows the address or the kernel after
 * mlockall(2), can touch a page of it that nobody serves. For the same reason
 * MAP_POPULATE and MAP_LOCKED are left out, and made up for afterwards, without the
 * lock: they fault.
 *
 * userfaultfd takes only what can become writable, so our own descriptor is
 * mapped in place of the program's, which may be open for reading only. Its
 * rights are checked as the kernel would.
 */
#include "map.h"
#include "lock.h"
#include "serve.h"
#include "views.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* mmap(2) passes over other bits of a protection, mprotect(2) does not. */
#define ACCESS (PROT_READ | PROT_WRITE | PROT_EXEC)

static const struct run_memory *memory_at(size_t index)
{
	return &run_the_settings()->memories[index];
}

static bool is_private(int flags)
{
	return (flags & MAP_TYPE) == MAP_PRIVATE;
}

static bool replaces(int flags)
{
	return (flags & MAP_FIXED) != 0 && (flags & MAP_FIXED_NOREPLACE) == 0;
}

static size_t round_up(size_t length, uint64_t page)
{
	return (size_t)((length + page - 1) & ~(page - 1));
}

size_t run_served_length(size_t memory, uint64_t offset, size_t length)
{
	const uint64_t whole = memory_at(memory)->length;
	const uint64_t left = offset < whole ? whole - offset : 0;

	return length < left ? length : (size_t)left;
}

/* ---- a view ------------------------------------------------------------------- */

static int add_view(const struct run_wanted *wanted, void *host, size_t length)
{
	const struct run_view view = {
		.start = (uintptr_t)host,
		.length = run_served_length(wanted->memory, wanted->offset, length),
		.memory = wanted->memory,
		.offset = wanted->offset,
		.is_private = is_private(wanted->flags),
	};

	return view.length > 0 ? run_views_add(&view) : 0;
}

/* Give the new mapping up again. */
static void *unmap_new(void *host, size_t length, int error)
{
	struct run_views taken;

	if (run_views_take((uintptr_t)host, length, &taken) == 0)
		run_views_forget(&taken);
	munmap(host, length);
	errno = error;
	return MAP_FAILED;
}

void *run_map_wanted(const struct run_wanted *wanted, void *host)
{
	const size_t length = round_up(wanted->length, memory_at(wanted->memory)->page_size);
	const int flags = wanted->flags & ~(MAP_POPULATE | MAP_LOCKED);
	int error;

	host = mmap(host, wanted->length, PROT_NONE, flags, run_memory_descriptor(wanted->memory),
		    (off_t)wanted->offset);
	if (host == MAP_FAILED)
		return MAP_FAILED;
	error = add_view(wanted, host, length);
	if (error == 0 && mprotect(host, length, wanted->protection) != 0)
		error = errno;
	return error == 0 ? host : unmap_new(host, length, error);
}

/* ---- what the flags ask for, afterwards --------------------------------------- */

/* As the kernel populates: for writing only where that copies. Failures are not
 * the program's concern. */
static void populate(void *host, size_t length, int protection, int flags)
{
	const bool copies = is_private(flags) && (protection & PROT_WRITE) != 0;

	(void)madvise(host, length, copies ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
}

/* False and errno: the limit on locked memory forbids it. */
static bool lock_pages(void *host, size_t length)
{
	if (mlock2(host, length, MLOCK_ONFAULT) == 0) {
		(void)mlock(host, length);
		return true;
	}
	if (errno == ENOMEM)
		errno = EAGAIN;
	return false;
}

static void *settle(void *host, size_t length, int protection, int flags)
{
	const int saved = errno;

	if ((flags & MAP_LOCKED) != 0 && !lock_pages(host, length)) {
		const int error = errno;

		(void)run_unmap(host, length);
		errno = error;
		return MAP_FAILED;
	}
	if ((flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE)
		populate(host, length, protection, flags);
	errno = saved;
	return host;
}

/* ---- mmap --------------------------------------------------------------------- */

/* 0, or what the kernel would answer for these rights of the descriptor. */
static int check_rights(int fd, int protection, int flags)
{
	const int mode = fcntl(fd, F_GETFL);

	if (mode < 0 || (mode & O_PATH) != 0)
		return EBADF;
	if ((mode & O_ACCMODE) == O_WRONLY)
		return EACCES;
	if (!is_private(flags) && (protection & PROT_WRITE) != 0 && (mode & O_ACCMODE) != O_RDWR)
		return EACCES;
	return 0;
}

static void *refuse(int error)
{
	errno = error;
	return MAP_FAILED;
}

/* The lock is held. */
static void *map_new(const struct run_wanted *wanted, void *host)
{
	const size_t length = round_up(wanted->length, memory_at(wanted->memory)->page_size);
	struct run_views taken = {.views = NULL};
	int error = run_claim(wanted->memory);

	if (error == 0 && replaces(wanted->flags))
		error = run_views_take((uintptr_t)host, length, &taken);
	if (error != 0)
		return refuse(error);
	host = run_map_wanted(wanted, host);
	if (host == MAP_FAILED) {
		run_views_restore(&taken);
		return MAP_FAILED;
	}
	run_views_forget(&taken);
	run_prefetch_once();
	return host;
}

/* The kernel refuses these, whatever the descriptor. */
static bool is_malformed(const void *host, size_t length, int flags, off_t offset)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	return length == 0 || length > PTRDIFF_MAX || ((uintptr_t)offset & (page - 1)) != 0 ||
	       (replaces(flags) && ((uintptr_t)host & (page - 1)) != 0);
}

void *run_map(size_t index, void *host, size_t length, int protection, int flags, int fd,
	      off_t offset)
{
	const struct run_wanted wanted = {.memory = index,
					  .offset = (uint64_t)offset,
					  .length = length,
					  .protection = protection & ACCESS,
					  .flags = flags};
	int error;

	if (is_malformed(host, length, flags, offset))
		return mmap(host, length, PROT_NONE, flags, fd, offset);
	error = check_rights(fd, protection, flags);
	if (error != 0)
		return refuse(error);
	run_lock();
	host = map_new(&wanted, host);
	run_unlock();
	if (host == MAP_FAILED)
		return MAP_FAILED;
	return settle(host, round_up(length, memory_at(index)->page_size), protection, flags);
}

void *run_map_over(void *host, size_t length, int protection, int flags, int fd, off_t offset)
{
	const size_t rounded = round_up(length, (uint64_t)sysconf(_SC_PAGESIZE));
	struct run_views taken;
	void *mapped;
	int error;

	if (is_malformed(host, length, flags, offset))
		return mmap(host, length, protection, flags, fd, offset);
	run_lock();
	error = run_views_take((uintptr_t)host, rounded, &taken);
	if (error == 0) {
		mapped = mmap(host, length, protection, flags, fd, offset);
		if (mapped == MAP_FAILED)
			run_views_restore(&taken);
		else
			run_views_forget(&taken);
	} else {
		mapped = refuse(error);
	}
	run_unlock();
	return mapped;
}

/* ---- munmap ------------------------------------------------------------------- */

/* The lock is held. */
static int unmap_held(void *host, size_t length, size_t rounded)
{
	struct run_views taken;
	const int error = run_views_take((uintptr_t)host, rounded, &taken);

	if (error != 0) {
		errno = error;
		return -1;
	}
	if (munmap(host, length) != 0) {
		run_views_restore(&taken);
		return -1;
	}
	run_views_forget(&taken);
	return 0;
}

int run_unmap(void *host, size_t length)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int result;

	if (length == 0 || length > PTRDIFF_MAX || (uintptr_t)host % page != 0)
		return munmap(host, length);
	run_lock();
	result = unmap_held(host, length, round_up(length, page));
	run_unlock();
	return result;
}
