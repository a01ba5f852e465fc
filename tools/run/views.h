/* SPDX-License-Identifier: MIT
 *
 * views.h - which host ranges of the program are views, and of what. The lock
 * (lock.h) is held, except where it says otherwise.
 */
#ifndef RUN_VIEWS_H
#define RUN_VIEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct run_view {
	uintptr_t start;
	size_t length;
	size_t memory;   /* index */
	uint64_t offset; /* of its first byte in the file */
	bool is_private;
};

/* Views that were removed, to be put back if the kernel refuses what they made
 * room for. */
struct run_views {
	struct run_view *views;
	size_t count;
};

/* Is a view there? Without the lock. errno is kept. */
bool run_views_are_in(const void *host, size_t length);

/* The first view in [start, end), cut to it. */
bool run_views_next(uintptr_t start, uintptr_t end, struct run_view *ret_view);

/* Serve the faults of a view. 0, or an errno value after a message. */
int run_views_add(const struct run_view *view);

/* Nothing in [start, start + length) is served from now on. 0 and what was, for
 * run_views_forget or run_views_restore; or an errno value: EINVAL where a huge
 * page would be cut, which the kernel refuses too, others after a message. */
int run_views_take(uintptr_t start, size_t length, struct run_views *ret_taken);

void run_views_forget(struct run_views *taken);
void run_views_restore(struct run_views *taken);

#endif
