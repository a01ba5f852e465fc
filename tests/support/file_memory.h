/* SPDX-License-Identifier: MIT
 *
 * file_memory.h - guest memory that is a file, mapped eagerly (a shared mapping
 * of it) or filled lazily and written back, as the test's case says.
 */
#ifndef TEST_FILE_MEMORY_H
#define TEST_FILE_MEMORY_H

#include "image.h"
#include "tracked.h"

/* What maps a file eagerly tracks nothing. */
#define IS_EAGER(state) (tracking_of(state) == LAZYMEM_TRACKING_NONE)

/* A part of the file, and where the guest has it. */
struct part {
	uint64_t offset, address; /* address: from GUEST_BASE on */
	size_t length;
};

struct file_memory {
	void **state;       /* of the test */
	struct image image; /* what the file was made with */
	char path[512];
	int file;          /* another descriptor of it */
	bool is_read_only; /* it may not be written */
	size_t page, pages;

	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment;
	struct lazymem_mapping *mappings[2];
	struct lazymem_memory *memory;
	unsigned char *host; /* of the first mapping */
};

/* A file of so many pages (of hugetlb memory: 4), the last one cut short, not mapped yet. */
void file_memory_create(struct file_memory *f, void **state, size_t pages, uint64_t cut_off);

/* Map one or two parts of it, and attach: what the library answers. */
int file_memory_try_map(struct file_memory *f, const struct part *parts, size_t count,
			int protection);

/* Map all of it, to be written; make one of 8 pages, and map all of that. */
void file_memory_map(struct file_memory *f);
void file_memory_begin(struct file_memory *f, void **state);

/* Whoever has the last reference gives it back; lazily filled memory is aborted before. */
void file_memory_unmap(struct file_memory *f);
void file_memory_end(struct file_memory *f);

/* One case for the eager way, and one for each kind of memory and way to track of the lazy one. */
#define EAGER_AND_LAZY(function)                                                                   \
	TEST_NAMED(function, #function " (eager)", WAY(ANONYMOUS, LAZYMEM_TRACKING_NONE)),         \
		IN_ALL_WAYS(function)

#endif
