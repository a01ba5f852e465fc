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
#define IS_WRITTEN (UINT64_C(1) << 1)
#define IS_PRESENT (UINT64_C(1) << 3)
#define IS_SWAPPED (UINT64_C(1) << 4)
#define IS_ZERO_PAGE (UINT64_C(1) << 5)
#define PROTECT_FOUND (UINT64_C(1) << 0)
#define ONLY_PROTECTED_MAPPINGS (UINT64_C(1) << 1)

#define RUNS 512

static int open_pagemap(void)
{
	const int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* An entry of /proc/self/pagemap: Documentation/admin-guide/mm/pagemap.rst. */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PROTECTED (UINT64_C(1) << 57)
#define ENTRIES 512

static int read_entries(int fd, uint64_t page, uint64_t *entries, size_t count)
{
	const ssize_t length = (ssize_t)(count * sizeof(*entries));
	const ssize_t got = pread(fd, entries, (size_t)length, (off_t)(page * sizeof(*entries)));

	if (got < 0)
		return -errno;
	return got == length ? 0 : -ENODATA;
}

static bool is_there(uint64_t entry)
{
	return (entry & (ENTRY_PRESENT | ENTRY_SWAPPED)) != 0;
}

static bool is_protected(uint64_t entry)
{
	return (entry & ENTRY_PRESENT) != 0 && (entry & ENTRY_PROTECTED) != 0;
}

static int look(const void *host, size_t length, bool (*is_so)(uint64_t entry),
		unsigned char *ret_answers)
{
	const size_t base_page = (size_t)sysconf(_SC_PAGESIZE);
	const uint64_t first = (uintptr_t)host / base_page;
	const int fd = open_pagemap();
	uint64_t entries[ENTRIES];
	int error = fd < 0 ? fd : 0;

	for (size_t done = 0, count; error == 0 && done < length / base_page; done += count) {
		count = length / base_page - done;
		if (count > ENTRIES)
			count = ENTRIES;
		error = read_entries(fd, first + done, entries, count);
		for (size_t i = 0; error == 0 && i < count; i++)
			ret_answers[done + i] = is_so(entries[i]);
	}
	if (fd >= 0)
		close(fd);
	return error;
}

int lm_pagemap_there(const void *host, size_t length, unsigned char *ret_there)
{
	return look(host, length, is_there, ret_there);
}

int lm_pagemap_protected(const void *host, size_t length, unsigned char *ret_protected)
{
	return look(host, length, is_protected, ret_protected);
}

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
	const int fd = open_pagemap();
	int answer;

	if (fd < 0)
		return fd;
	answer = ioctl(fd, SCAN, &argument);
	if (answer < 0)
		answer = -errno;
	close(fd);
	return answer > 0 ? 1 : answer;
}

bool lm_pagemap_can_collect(void)
{
	static const char anything;
	const uintptr_t page = (uintptr_t)&anything & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1);

	return lm_pagemap_has_pages((const void *)page, (size_t)sysconf(_SC_PAGESIZE)) >= 0;
}

int lm_pagemap_collect(char *host, size_t length, bool shared,
		       void (*found)(void *context, const char *host, size_t length, bool mapped),
		       void *context)
{
	struct page_region runs[RUNS];
	struct scan_argument argument = {
		.size = sizeof(argument),
		.flags = PROTECT_FOUND | ONLY_PROTECTED_MAPPINGS,
		.start = (uintptr_t)host,
		.end = (uintptr_t)host + length,
		.regions = (uintptr_t)runs,
		.region_count = RUNS,
		.inverted = shared ? 0 : IS_ZERO_PAGE,
		.all_of = IS_WRITTEN | (shared ? 0 : IS_ZERO_PAGE),
		.any_of = shared ? 0 : IS_PRESENT | IS_SWAPPED,
		.returned = IS_PRESENT | IS_SWAPPED,
	};
	const int fd = open_pagemap();
	int count = fd;

	while (count >= 0 && argument.start < argument.end) {
		count = ioctl(fd, SCAN, &argument);
		if (count < 0)
			count = -errno;
		for (int i = 0; i < count; i++)
			found(context, (const char *)runs[i].start, runs[i].end - runs[i].start,
			      runs[i].categories != 0);
		argument.start = argument.walk_end;
	}
	if (fd >= 0)
		close(fd);
	return count < 0 ? count : 0;
}
