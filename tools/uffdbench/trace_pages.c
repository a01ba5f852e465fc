/* SPDX-License-Identifier: MIT */
#include "trace_pages.h"

#include "complain.h"
#include "pattern.h"

#include <stdlib.h>

#define MEMORY_LIMIT (1ull << 40)

int trace_measure(const char *name, const struct lazymem_trace *trace, uint64_t *ret_end)
{
	uint64_t end = 0;

	if (lazymem_trace_count(trace) == 0) {
		complain("trace %s is empty", name);
		return -1;
	}
	for (size_t i = 0; i < lazymem_trace_count(trace); i++) {
		struct lazymem_guest_range range = lazymem_trace_range(trace, i);

		if (range.start.value > MEMORY_LIMIT || range.length > MEMORY_LIMIT) {
			complain("trace %s reaches beyond 1 TiB", name);
			return -1;
		}
		if (range.start.value + range.length > end)
			end = range.start.value + range.length;
	}
	*ret_end = end;
	return 0;
}

static int check_fit(const char *name, const struct lazymem_trace *trace, uint64_t memory)
{
	uint64_t end;

	if (trace_measure(name, trace, &end) != 0)
		return -1;
	if (end <= memory)
		return 0;
	complain("trace %s reaches up to byte %llu, beyond --memory %llu", name,
		 (unsigned long long)end, (unsigned long long)memory);
	return -1;
}

bool trace_pages_contain(const struct trace_pages *pages, uint64_t offset)
{
	uint64_t page = offset / PAGE_BYTES;

	return (pages->map[page / 8] >> (page % 8) & 1) != 0;
}

/* A trace may name a page twice; only its first touch counts. */
static void append_once(struct trace_pages *pages, uint64_t offset)
{
	uint64_t page = offset / PAGE_BYTES;

	if (trace_pages_contain(pages, offset))
		return;
	pages->map[page / 8] |= (unsigned char)(1u << (page % 8));
	pages->offsets[pages->count++] = offset;
}

static void append_range(struct trace_pages *pages, struct lazymem_guest_range range)
{
	for (uint64_t at = 0; at < range.length; at += PAGE_BYTES)
		append_once(pages, range.start.value + at);
}

int trace_pages_create(const char *name, const struct lazymem_trace *trace, uint64_t memory,
		       struct trace_pages *ret_pages)
{
	struct trace_pages pages = {0};
	uint64_t length = lazymem_trace_length(trace);

	if (check_fit(name, trace, memory) != 0)
		return -1;
	pages.offsets =
		calloc((length < memory ? length : memory) / PAGE_BYTES, sizeof(*pages.offsets));
	pages.map = calloc(memory / PAGE_BYTES / 8 + 1, 1);
	if (pages.offsets == NULL || pages.map == NULL) {
		complain("no memory for trace %s", name);
		trace_pages_destroy(&pages);
		return -1;
	}
	for (size_t i = 0; i < lazymem_trace_count(trace); i++)
		append_range(&pages, lazymem_trace_range(trace, i));
	*ret_pages = pages;
	return 0;
}

void trace_pages_destroy(struct trace_pages *pages)
{
	free(pages->offsets);
	free(pages->map);
}
