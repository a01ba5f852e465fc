/* SPDX-License-Identifier: MIT
 *
 * The views, in no order: programs have few. The attachment has a list of its
 * own; the two are changed together, under the lock.
 *
 * No view overlaps another. The list is changed by who holds the lock of lock.h, and
 * under `table`, which is held for nothing else and never over an allocation: an
 * allocator that gives memory back while it holds a lock of its own asks here whether
 * that is a view, and we may be waiting for that very lock. Every view lies in
 * [low, high), which only grows, so that most calls about other memory need no lock at
 * all: a thread that names memory of its own cannot race with one that maps a view there.
 */
#include "views.h"
#include "complain.h"
#include "serve.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER;
static struct run_view *views;
static size_t view_count, view_room;
static _Atomic uintptr_t low = UINTPTR_MAX, high;

static uintptr_t end_of(const struct run_view *view)
{
	return view->start + view->length;
}

/* The part of a view in [start, end); length 0: none. */
static struct run_view cut_to(const struct run_view *view, uintptr_t start, uintptr_t end)
{
	const uintptr_t from = start > view->start ? start : view->start;
	const uintptr_t to = end < end_of(view) ? end : end_of(view);
	struct run_view part = *view;

	part.start = from;
	part.length = from < to ? to - from : 0;
	part.offset += from - view->start;
	return part;
}

bool run_views_next(uintptr_t start, uintptr_t end, struct run_view *ret_view)
{
	bool found = false;

	for (size_t i = 0; i < view_count; i++) {
		const struct run_view part = cut_to(&views[i], start, end);

		if (part.length == 0 || (found && part.start > ret_view->start))
			continue;
		*ret_view = part;
		found = true;
	}
	return found;
}

/* Signals wait, as their handlers may come here too. */
static bool is_in_table(uintptr_t start, uintptr_t end)
{
	struct run_view view;
	sigset_t all, before;
	bool found;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&table);
	found = run_views_next(start, end, &view);
	pthread_mutex_unlock(&table);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return found;
}

bool run_views_are_in(const void *host, size_t length)
{
	const uintptr_t start = (uintptr_t)host;
	const uintptr_t end = length < UINTPTR_MAX - start ? start + length : UINTPTR_MAX;
	const int saved = errno;
	bool found;

	if (!run_is_serving() || start >= atomic_load(&high) || end <= atomic_load(&low))
		return false;
	found = is_in_table(start, end);
	errno = saved;
	return found;
}

/* ---- add */

static int make_room(void)
{
	const size_t room = view_room == 0 ? 16 : view_room * 2;
	struct run_view *grown, *before;

	if (view_count < view_room)
		return 0;
	grown = calloc(room, sizeof(*views));
	if (grown == NULL) {
		complain("no memory for %zu views", room);
		return ENOMEM;
	}
	if (view_count > 0)
		memcpy(grown, views, view_count * sizeof(*views));
	before = views;
	pthread_mutex_lock(&table);
	views = grown;
	pthread_mutex_unlock(&table);
	free(before);
	view_room = room;
	return 0;
}

static void widen(const struct run_view *view)
{
	if (view->start < atomic_load(&low))
		atomic_store(&low, view->start);
	if (end_of(view) > atomic_load(&high))
		atomic_store(&high, end_of(view));
}

int run_views_add(const struct run_view *view)
{
	const struct lazymem_view request = {
		.size = sizeof(request),
		.flags = view->is_private ? LAZYMEM_VIEW_PRIVATE : 0,
		.host = (void *)view->start,
		.length = view->length,
		.address = {run_memory_base(run_the_settings(), view->memory) + view->offset},
	};
	int error = make_room();

	if (error != 0)
		return error;
	error = lazymem_attachment_add_view(run_attachment(), &request);
	if (error != 0) {
		complain("%s", lazymem_error_message());
		return -error;
	}
	pthread_mutex_lock(&table);
	views[view_count++] = *view;
	pthread_mutex_unlock(&table);
	widen(view);
	return 0;
}

/* ---- take */

/* The parts of all views in [start, end), in their order. */
static int collect(uintptr_t start, uintptr_t end, struct run_views *ret_taken)
{
	struct run_views taken = {.views = NULL};
	struct run_view view;

	if (view_count == 0) {
		*ret_taken = taken;
		return 0;
	}
	taken.views = calloc(view_count, sizeof(*taken.views));
	if (taken.views == NULL) {
		complain("no memory to note %zu views", view_count);
		return ENOMEM;
	}
	for (uintptr_t at = start; run_views_next(at, end, &view); at = end_of(&view))
		taken.views[taken.count++] = view;
	*ret_taken = taken;
	return 0;
}

/* Cut [start, end) out of every view; there is room for one more. */
static void cut_out(uintptr_t start, uintptr_t end)
{
	pthread_mutex_lock(&table);
	for (size_t i = view_count; i-- > 0;) {
		const struct run_view view = views[i];
		const struct run_view head = cut_to(&view, view.start, start);
		const struct run_view tail = cut_to(&view, end, end_of(&view));

		if (cut_to(&view, start, end).length == 0)
			continue;
		if (head.length > 0)
			views[i] = head;
		if (head.length > 0 && tail.length > 0)
			views[view_count++] = tail;
		else if (tail.length > 0)
			views[i] = tail;
		else if (head.length == 0)
			views[i] = views[--view_count];
	}
	pthread_mutex_unlock(&table);
}

/* Huge pages are not cut: the kernel refuses that, too. */
static int check_pages(struct run_views *taken)
{
	for (size_t i = 0; i < taken->count; i++) {
		const struct run_view *view = &taken->views[i];
		const uint64_t page = run_the_settings()->memories[view->memory].page_size;

		if ((view->start | view->length) % page != 0) {
			run_views_forget(taken);
			return EINVAL;
		}
	}
	return 0;
}

int run_views_take(uintptr_t start, size_t length, struct run_views *ret_taken)
{
	const uintptr_t end = start + length;
	struct run_views taken;
	int error = make_room();

	if (error == 0)
		error = collect(start, end, &taken);
	if (error == 0)
		error = check_pages(&taken);
	if (error != 0)
		return error;
	if (taken.count > 0 && (error = -lazymem_attachment_remove_view(
					run_attachment(), (void *)start, length)) != 0) {
		complain("%s", lazymem_error_message());
		run_views_forget(&taken);
		return error;
	}
	cut_out(start, end);
	*ret_taken = taken;
	return 0;
}

void run_views_forget(struct run_views *taken)
{
	const int saved = errno;

	free(taken->views);
	*taken = (struct run_views){0};
	errno = saved;
}

/* What is not mapped any more needs nobody who serves it. errno is kept: it says
 * why the views are put back. */
void run_views_restore(struct run_views *taken)
{
	const int saved = errno;

	for (size_t i = 0; i < taken->count; i++)
		(void)run_views_add(&taken->views[i]);
	run_views_forget(taken);
	errno = saved;
}
