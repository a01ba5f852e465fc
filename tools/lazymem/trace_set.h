/* SPDX-License-Identifier: MIT
 *
 * trace_set.h - traces as sets of guest memory that keep an order.
 */
#ifndef LAZYMEM_TOOL_TRACE_SET_H
#define LAZYMEM_TOOL_TRACE_SET_H

#include <lazymem/trace.h>

/* What is in any of `count` traces (at least one): that of the first one in its
 * order, then what the second one has besides, and so on. The pages are the
 * smallest of any of them; the result is bound to nothing. Errors of
 * lazymem_trace_append, -ENOMEM. */
int trace_set_union(struct lazymem_trace *const *traces, size_t count,
		    struct lazymem_trace **ret_trace);

/* What is in all of them, in the order of the first one. */
int trace_set_intersect(struct lazymem_trace *const *traces, size_t count,
			struct lazymem_trace **ret_trace);

#endif
