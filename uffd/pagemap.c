/* SPDX-License-Identifier: MIT
 *
 * pagemap.c - PAGEMAP_SCAN of /proc/self/pagemap. A range that nothing was
 * touched in has no page tables, and is told to be empty at once, however
 * large; mincore looks at each of its pages.
 */
#include "uffd/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* include/uapi/linux/fs.h of Linux 6.7; older headers lack them. */
struct page_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_argument {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t regions;
	uint64_t region_count;
	uint64_t most_pages;
	uint64_t inverted;
	uint64_t all_of;
	uint64_t any_of;
	uint64_t returned;
};

#define SCAN _IOWR('f', 16, struct scan_argument)
#define IS_PRESENT (UINT64_C(1) << 3)

int lm_pagemap_has_pages(const void *host, size_t length)
{
	struct page_region found;
	struct scan_argument argument = {
		.size = sizeof(argument),
		.start = (uintptr_t)host,
		.end = (uintptr_t)host + length,
		.regions = (uintptr_t)&found,
		.region_count = 1,
		.most_pages = 1,
		.all_of = IS_PRESENT,
		.returned = IS_PRESENT,
	};
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int answer;

	if (fd < 0)
		return -errno;
	answer = ioctl(fd, SCAN, &argument);
	if (answer < 0)
		answer = -errno;
	close(fd);
	return answer > 0 ? 1 : answer;
}
