/* SPDX-License-Identifier: MIT */
#include "pattern_source.h"
#include "pattern.h"

#include <errno.h>

static void read_pages(void *object, struct lazymem_read *read)
{
	const bool whole = read->offset % PAGE_BYTES == 0 && read->length % PAGE_BYTES == 0;
	char *buffer = read->buffer;

	(void)object;
	for (size_t at = 0; whole && at < read->length; at += PAGE_BYTES)
		pattern_fill(PATTERN_DATA, read->offset + at, (uint64_t *)(void *)(buffer + at));
	lazymem_read_complete(read, whole ? 0 : -EINVAL);
}

int pattern_source_create(uint64_t length, struct lazymem_backing **ret_backing)
{
	static const struct lazymem_backing_operations operations = {
		.size = sizeof(operations),
		.read = read_pages,
	};

	return lazymem_backing_create(&operations, NULL, length, "the pattern", ret_backing);
}
