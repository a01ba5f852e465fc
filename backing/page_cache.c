/* SPDX-License-Identifier: MIT
 *
 * page_cache.c - asks cachestat(2), of Linux 6.5. A read with RWF_NOWAIT could
 * not tell as well: it starts to read what is missing.
 */
#include "backing/page_cache.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __NR_cachestat
#define __NR_cachestat 451 /* include/uapi/asm-generic/unistd.h, the same everywhere but on alpha */
#endif

/* struct cachestat_range and struct cachestat of include/uapi/linux/mman.h. */
struct range {
	uint64_t offset;
	uint64_t length;
};

struct counts {
	uint64_t cached;
	uint64_t dirty;
	uint64_t writeback;
	uint64_t evicted;
	uint64_t recently_evicted;
};

int lm_page_cache_has(int fd, uint64_t offset, size_t length)
{
	const struct range range = {offset, length};
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct counts counts;

	if (syscall(__NR_cachestat, fd, &range, &counts, 0) != 0)
		return -errno;
	return counts.cached * page >= length + offset % page;
}
