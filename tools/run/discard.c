/* SPDX-License-Identifier: MIT
 *
 * A hole is punched by the library, which marks the pages before it gives them
 * back. Parts of pages are written as zeros instead, through the anchor, so that
 * the rest of the page comes out of the image first. Neither happens under the
 * lock: one waits for the worker, the other for a page.
 *
 * Of all advice, only two differ on a view: MADV_REMOVE is such a hole, and
 * MADV_DOFORK would let a child read false zeros. MADV_DONTNEED leaves the file as
 * it is, and a page that was not there yet stays to be filled.
 */
#include "discard.h"
#include "lock.h"
#include "serve.h"
#include "views.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char zeros[4096];

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/* ---- a hole ------------------------------------------------------------------ */

/* 0, or an errno value. */
static int write_zeros(uint64_t address, uint64_t length)
{
	for (uint64_t done = 0; done < length;) {
		const lazymem_guest_address at = {address + done};
		const size_t count = (size_t)least(length - done, sizeof(zeros));
		const int error = lazymem_memory_write(run_guest_memory(), at, zeros, count);

		if (error != 0)
			return -error;
		done += count;
	}
	return 0;
}

/* [start, end) of memory `index` reads as zeros from now on. */
static int punch(size_t index, uint64_t start, uint64_t end)
{
	const struct run_settings *settings = run_the_settings();
	const uint64_t page = settings->memories[index].page_size;
	const uint64_t base = run_memory_base(settings, index);
	const uint64_t first = least((start + page - 1) & ~(page - 1), end);
	const uint64_t whole = end & ~(page - 1), last = whole > first ? whole : first;
	const lazymem_guest_address address = {base + first};
	int error = write_zeros(base + start, first - start);

	if (error == 0 && last > first)
		error = -lazymem_memory_discard(run_guest_memory(), address, last - first);
	if (error == 0)
		error = write_zeros(base + last, end - last);
	return error;
}

/* What is discarded before the first mapping counts as well, so it makes this the
 * process that serves. 0, or an errno value. */
static int claim(size_t index)
{
	int error;

	run_lock();
	error = run_claim(index);
	run_unlock();
	return error;
}

/* ---- madvise ----------------------------------------------------------------- */

static int advise_view(const struct run_view *view, int advice)
{
	if (advice == MADV_DOFORK)
		return 0;
	if (view->is_private)
		return EACCES;
	return punch(view->memory, view->offset, view->offset + view->length);
}

/* The first view in [at, end), and *ret_to: where it begins, or end. */
static bool find_view(uintptr_t at, uintptr_t end, struct run_view *ret_view, uintptr_t *ret_to)
{
	bool found;

	run_lock();
	found = run_views_next(at, end, ret_view);
	run_unlock();
	*ret_to = found ? ret_view->start : end;
	return found;
}

/* As the kernel does: what is not mapped is passed over, and said at the end;
 * every other refusal ends it. */
static int advise_parts(uintptr_t start, uintptr_t end, int advice)
{
	struct run_view view;
	int unmapped = 0;

	for (uintptr_t at = start, to; at < end;) {
		const bool found = find_view(at, end, &view, &to);
		int error = 0;

		if (to > at && madvise((void *)at, to - at, advice) != 0)
			error = errno;
		if (error == ENOMEM)
			unmapped = ENOMEM;
		else if (error != 0)
			return error;
		error = found ? advise_view(&view, advice) : 0;
		if (error != 0)
			return error;
		at = found ? view.start + view.length : end;
	}
	return unmapped;
}

int run_advise(void *host, size_t length, int advice)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)host;
	const int saved = errno;
	int error;

	if ((advice != MADV_REMOVE && advice != MADV_DOFORK) || start % page != 0 ||
	    length > PTRDIFF_MAX)
		return madvise(host, length, advice);
	error = advise_parts(start, start + ((length + page - 1) & ~(page - 1)), advice);
	if (error != 0)
		return fail(error);
	errno = saved;
	return 0;
}

/* ---- fallocate, ftruncate ---------------------------------------------------- */

static bool is_writable(int fd)
{
	const int mode = fcntl(fd, F_GETFL);

	return mode >= 0 && (mode & O_PATH) == 0 && (mode & O_ACCMODE) != O_RDONLY;
}

/* What there is of [start, end) both in the file and in the memory. 0, or an errno
 * value. */
static int punch_file(size_t index, int fd, uint64_t start, uint64_t end)
{
	struct stat stat;
	int error;

	if (fstat(fd, &stat) != 0)
		return errno;
	end = least(end, least((uint64_t)stat.st_size, run_the_settings()->memories[index].length));
	if (start >= end)
		return 0;
	error = claim(index);
	return error == 0 ? punch(index, start, end) : error;
}

/* The kernel punches only where the file has grown past the memory: it would not
 * tell the library. */
int run_allocate(size_t index, int fd, int mode, off_t offset, off_t length)
{
	const off_t known = (off_t)run_the_settings()->memories[index].length;
	off_t end;
	int error;

	if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) || offset < 0 || length <= 0 ||
	    __builtin_add_overflow(offset, length, &end) || !is_writable(fd))
		return fallocate(fd, mode, offset, length);
	error = punch_file(index, fd, (uint64_t)offset, (uint64_t)end);
	if (error != 0)
		return fail(error);
	if (end <= known)
		return 0;
	offset = offset > known ? offset : known;
	return fallocate(fd, mode, offset, end - offset);
}

/* What is cut off reads as zeros if the file grows again. */
int run_truncate(size_t index, int fd, off_t length)
{
	const uint64_t page = run_the_settings()->memories[index].page_size;
	const bool is_huge = page > (uint64_t)sysconf(_SC_PAGESIZE);
	int error;

	if (length < 0 || !is_writable(fd) || (is_huge && (uint64_t)length % page != 0))
		return ftruncate(fd, length);
	error = punch_file(index, fd, (uint64_t)length, UINT64_MAX);
	if (error != 0)
		return fail(error);
	return ftruncate(fd, length);
}
