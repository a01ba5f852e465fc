/* SPDX-License-Identifier: MIT
 *
 * trace_pages.h - the pages of a trace: each once, in the order of first touch.
 */
#ifndef UFFDBENCH_TRACE_PAGES_H
#define UFFDBENCH_TRACE_PAGES_H

#include <lazymem/trace.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Below, `name` is what messages call the trace; results are 0, or -1 after a
 * message. */

/* Where its last page ends. An empty trace is refused, and one that reaches
 * further than 1 TiB, because its image would be as long. */
int trace_measure(const char *name, const struct lazymem_trace *trace, uint64_t *ret_end);

struct trace_pages {
	uint64_t *offsets;
	size_t count;
	unsigned char *map; /* a bit for each page of the memory: is it there? */
};

/* Of a trace that stays in `memory` bytes from address 0 on; one that does not
 * is refused. */
int trace_pages_create(const char *name, const struct lazymem_trace *trace, uint64_t memory,
		       struct trace_pages *ret_pages);

/* Is the page at `offset`, below the memory's end, one of them? */
bool trace_pages_contain(const struct trace_pages *pages, uint64_t offset);

/* All zeros is fine. */
void trace_pages_destroy(struct trace_pages *pages);

#endif
