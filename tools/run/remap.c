/* SPDX-License-Identifier: MIT
 *
 * What mremap(2) does to views:
 *
 *   shrinks    the tail is one no more
 *   moves      what moves is a view at its new place, and with MREMAP_DONTUNMAP at
 *              the old one as well
 *   grows      the file goes on behind the old end: a further view, which the
 *              kernel joins to the old one. Where something is in the way, first
 *              the whole is mapped elsewhere, and then what was there is moved onto its
 *              head, so that a failure leaves everything as it was
 *   old_length 0   one more view
 *
 * The kernel takes a moved mapping away from userfaultfd, so it is added again.
 * Where it is to refuse something, it is asked to, so that errno is its own.
 */
#include "lock.h"
#include "map.h"
#include "maps.h"
#include "serve.h"
#include "views.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

struct remapping {
	uintptr_t start;
	size_t length, new_length; /* whole pages */
	int flags;
	void *new_host; /* with MREMAP_FIXED */
};

static void *refuse(int error)
{
	errno = error;
	return MAP_FAILED;
}

static bool is_fixed(const struct remapping *remapping)
{
	return (remapping->flags & MREMAP_FIXED) != 0;
}

static void *ask_kernel(const struct remapping *remapping)
{
	return mremap((void *)remapping->start, remapping->length, remapping->new_length,
		      remapping->flags, remapping->new_host);
}

/* What a moved mapping replaces. */
static int take_target(const struct remapping *remapping, struct run_views *ret_taken)
{
	*ret_taken = (struct run_views){.views = NULL};
	if (!is_fixed(remapping))
		return 0;
	return run_views_take((uintptr_t)remapping->new_host, remapping->new_length, ret_taken);
}

/* ---- moving -------------------------------------------------------------------- */

/* Add what of `moved` arrived: the first `length` bytes from `from` on are at `to` now. */
static int add_moved(const struct run_views *moved, uintptr_t from, uintptr_t to, size_t length)
{
	int error = 0;

	for (size_t i = 0; error == 0 && i < moved->count; i++) {
		struct run_view view = moved->views[i];
		const size_t skip = view.start - from;

		if (skip >= length)
			continue;
		if (view.length > length - skip)
			view.length = length - skip;
		view.start = to + skip;
		error = run_views_add(&view);
	}
	return error;
}

/* The kernel joins what it moves to a neighbour of the same kind, and only then
 * takes it away from userfaultfd: with the neighbour. All views are kept out of
 * children, so what is not is no such neighbour. Adding it keeps it out again. */
static void set_apart(const struct run_views *moved)
{
	for (size_t i = 0; i < moved->count; i++)
		(void)madvise((void *)moved->views[i].start, moved->views[i].length, MADV_DOFORK);
}

/* By the kernel, as it was asked for; nothing grows. */
static void *move(const struct remapping *remapping)
{
	const bool stays = (remapping->flags & MREMAP_DONTUNMAP) != 0;
	struct run_views target, moved = {.views = NULL};
	void *host = MAP_FAILED;
	int error = take_target(remapping, &target);

	if (error != 0)
		return refuse(error);
	error = run_views_take(remapping->start, remapping->length, &moved);
	set_apart(&moved);
	if (error == 0)
		host = ask_kernel(remapping);
	else
		errno = error;
	if (host == MAP_FAILED) {
		run_views_restore(&moved);
		run_views_restore(&target);
		return MAP_FAILED;
	}
	run_views_forget(&target);
	error = add_moved(&moved, remapping->start, (uintptr_t)host, remapping->new_length);
	if (stays)
		run_views_restore(&moved);
	else
		run_views_forget(&moved);
	return error == 0 ? host : refuse(error);
}

static void *shrink(const struct remapping *remapping)
{
	struct run_views tail;
	const int error = run_views_take(remapping->start + remapping->new_length,
					 remapping->length - remapping->new_length, &tail);
	void *host;

	if (error != 0)
		return refuse(error);
	host = ask_kernel(remapping);
	if (host == MAP_FAILED)
		run_views_restore(&tail);
	else
		run_views_forget(&tail);
	return host;
}

/* ---- growing ------------------------------------------------------------------- */

static struct run_wanted wanted_of(const struct run_view *view, uint64_t skip, size_t length,
				   int protection)
{
	return (struct run_wanted){
		.memory = view->memory,
		.offset = view->offset + skip,
		.length = length,
		.protection = protection,
		.flags = view->is_private ? MAP_PRIVATE : MAP_SHARED,
	};
}

static void *map_at(struct run_wanted *wanted, void *host, int flags)
{
	wanted->flags |= flags;
	return run_map_wanted(wanted, host);
}

static void *grow_in_place(const struct remapping *remapping, const struct run_view *view,
			   int protection)
{
	struct run_wanted tail = wanted_of(view, remapping->length,
					   remapping->new_length - remapping->length, protection);
	void *end = (void *)(remapping->start + remapping->length);

	return map_at(&tail, end, MAP_FIXED_NOREPLACE) == end ? (void *)remapping->start
							      : MAP_FAILED;
}

/* Onto the head of a mapping of the same part of the file. False and errno. */
static bool move_onto(const struct remapping *remapping, void *host)
{
	const struct remapping onto = {
		.start = remapping->start,
		.length = remapping->length,
		.new_length = remapping->length,
		.flags = MREMAP_MAYMOVE | MREMAP_FIXED,
		.new_host = host,
	};

	return move(&onto) != MAP_FAILED;
}

static void unmap(void *host, size_t length)
{
	const int saved = errno;
	struct run_views taken;

	if (run_views_take((uintptr_t)host, length, &taken) == 0)
		run_views_forget(&taken);
	munmap(host, length);
	errno = saved;
}

/* What is at the old start, and behind it in the file, once more. */
static void *map_again(const struct remapping *remapping, const struct run_view *view,
		       int protection)
{
	struct run_wanted whole = wanted_of(view, 0, remapping->new_length, protection);
	struct run_views target;
	const int error = take_target(remapping, &target);
	void *host;

	if (error != 0)
		return refuse(error);
	host = map_at(&whole, remapping->new_host, is_fixed(remapping) ? MAP_FIXED : 0);
	if (host == MAP_FAILED)
		run_views_restore(&target);
	else
		run_views_forget(&target);
	return host;
}

static void *grow_elsewhere(const struct remapping *remapping, const struct run_view *view,
			    int protection)
{
	void *host = map_again(remapping, view, protection);

	if (host == MAP_FAILED || move_onto(remapping, host))
		return host;
	unmap(host, remapping->new_length);
	return MAP_FAILED;
}

/* The kernel lets one mapping grow, and no more than one. */
static void *grow(const struct remapping *remapping, const struct run_view *view)
{
	struct run_mapped mapped;
	int error = run_maps_find(remapping->start, &mapped);
	void *host;

	if (error == 0 && mapped.end - remapping->start < remapping->length)
		error = EFAULT;
	if (error != 0)
		return refuse(error);
	if (remapping->length == 0)
		return map_again(remapping, view, mapped.protection);
	if (!is_fixed(remapping)) {
		host = grow_in_place(remapping, view, mapped.protection);
		if (host != MAP_FAILED || errno != EEXIST)
			return host;
		if ((remapping->flags & MREMAP_MAYMOVE) == 0)
			return refuse(ENOMEM);
	}
	return grow_elsewhere(remapping, view, mapped.protection);
}

/* ---- mremap -------------------------------------------------------------------- */

static bool overlap(uintptr_t a, size_t a_length, uintptr_t b, size_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* The kernel refuses these, whatever is mapped there. */
static bool is_malformed(const struct remapping *remapping)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	const uintptr_t to = (uintptr_t)remapping->new_host;
	const int flags = remapping->flags;

	if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0 ||
	    ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0 && (flags & MREMAP_MAYMOVE) == 0) ||
	    ((flags & MREMAP_DONTUNMAP) != 0 && remapping->length != remapping->new_length))
		return true;
	if (remapping->start % page != 0 || remapping->new_length == 0 ||
	    remapping->length > PTRDIFF_MAX || remapping->new_length > PTRDIFF_MAX)
		return true;
	return is_fixed(remapping) &&
	       (to % page != 0 ||
		overlap(remapping->start, remapping->length, to, remapping->new_length));
}

/* Private memory has no second mapping, and that of huge pages does not grow. */
static bool may_grow(const struct remapping *remapping, const struct run_view *view)
{
	const uint64_t page = run_the_settings()->memories[view->memory].page_size;

	if (page > (uint64_t)sysconf(_SC_PAGESIZE))
		return false;
	return remapping->length > 0 ||
	       (!view->is_private && (remapping->flags & MREMAP_MAYMOVE) != 0);
}

/* The lock is held. `view` is at the old start; NULL: none is. */
static void *remap_held(const struct remapping *remapping, const struct run_view *view)
{
	const bool moves = (remapping->flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0;

	if (is_malformed(remapping))
		return ask_kernel(remapping);
	if (remapping->new_length > remapping->length && view != NULL && may_grow(remapping, view))
		return grow(remapping, view);
	if (remapping->new_length < remapping->length && !moves)
		return shrink(remapping);
	return moves || view == NULL ? move(remapping) : ask_kernel(remapping);
}

static size_t round_up(size_t length, uint64_t page)
{
	return (size_t)((length + page - 1) & ~(page - 1));
}

void *run_remap(void *host, size_t length, size_t new_length, int flags, void *new_host)
{
	struct remapping remapping = {
		.start = (uintptr_t)host, .flags = flags, .new_host = new_host};
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct run_view view;
	void *result;
	bool found;

	run_lock();
	found = run_views_next(remapping.start, remapping.start + 1, &view);
	if (found)
		page = run_the_settings()->memories[view.memory].page_size;
	remapping.length = round_up(length, page);
	remapping.new_length = round_up(new_length, page);
	result = remap_held(&remapping, found ? &view : NULL);
	run_unlock();
	return result;
}
