/* SPDX-License-Identifier: MIT
 *
 * tracked.h - guest memory that tells which pages were written, in a way that
 * is part of the kind of a test's case.
 */
#ifndef TEST_TRACKED_H
#define TEST_TRACKED_H

#include "guest.h"
#include "source.h"

struct tracked {
	struct image image;
	struct source source;
	struct guest guest;
	struct lazymem_dirty *dirty;
	size_t pages;
};

/* What a test is run with, packed into the kind of its case. */
#define WAY(kind, tracking) ((enum memory_kind)((unsigned)(kind) | (unsigned)(tracking) << 8))

enum memory_kind memory_of(void **state);
enum lazymem_tracking tracking_of(void **state);

/* So many pages of the case's memory, tracked in the case's way. */
void tracked_begin(struct tracked *f, void **state, size_t pages, const char *layout);
void tracked_end(struct tracked *f);

unsigned char *tracked_page(const struct tracked *f, size_t page);

/* Collect: these pages are told, and no others. */
void expect_told(struct tracked *f, size_t count, const size_t *pages);
#define EXPECT_TOLD(f, ...)                                                                        \
	expect_told((f), sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), (size_t[]){__VA_ARGS__})

/* Collect: is this page told? */
bool is_told(struct tracked *f, size_t page);

/* Map all of the memory once more, and have it served. */
unsigned char *map_view(struct tracked *f, unsigned flags);
void unmap_view(struct tracked *f, unsigned char *view);

#define IN_EACH_SHARED_WAY(function)                                                               \
	TEST_NAMED(function, #function " (memfd, kernel)", WAY(MEMFD, LAZYMEM_TRACKING_KERNEL)),   \
		TEST_NAMED(function, #function " (memfd, faults)",                                 \
			   WAY(MEMFD, LAZYMEM_TRACKING_FAULTS)),                                   \
		TEST_NAMED(function, #function " (hugetlb, kernel)",                               \
			   WAY(HUGETLB, LAZYMEM_TRACKING_KERNEL)),                                 \
		TEST_NAMED(function, #function " (hugetlb, faults)",                               \
			   WAY(HUGETLB, LAZYMEM_TRACKING_FAULTS))
#define IN_EACH_WAY(function)                                                                      \
	TEST_NAMED(function, #function " (anonymous, kernel)",                                     \
		   WAY(ANONYMOUS, LAZYMEM_TRACKING_KERNEL)),                                       \
		TEST_NAMED(function, #function " (anonymous, faults)",                             \
			   WAY(ANONYMOUS, LAZYMEM_TRACKING_FAULTS)),                               \
		IN_EACH_SHARED_WAY(function)
/* The worst way as well. */
#define IN_ALL_WAYS(function)                                                                      \
	IN_EACH_WAY(function),                                                                     \
		TEST_NAMED(function, #function " (anonymous, populated)",                          \
			   WAY(ANONYMOUS, LAZYMEM_TRACKING_POPULATED)),                            \
		TEST_NAMED(function, #function " (memfd, populated)",                              \
			   WAY(MEMFD, LAZYMEM_TRACKING_POPULATED)),                                \
		TEST_NAMED(function, #function " (hugetlb, populated)",                            \
			   WAY(HUGETLB, LAZYMEM_TRACKING_POPULATED))

#endif
