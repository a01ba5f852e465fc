/* SPDX-License-Identifier: MIT
 *
 * mapping_plain.c - the operations of a mapping whose faults the kernel
 * serves.
 *
 *               sync      discard         prefetch        resident
 *   anonymous   nothing   MADV_DONTNEED   MADV_WILLNEED   mincore
 *   memfd       nothing   punch a hole    MADV_WILLNEED   mincore
 *   hugetlb     nothing   punch a hole    nothing         mincore
 *   file, sh.   msync     punch a hole    MADV_WILLNEED   mincore
 *   file, pr.   nothing   MADV_DONTNEED   MADV_WILLNEED   mincore
 *
 * Shared memory needs the hole: MADV_DONTNEED drops the page tables alone, and
 * the data would be back at the next access. In a shared file it is what the
 * guest means as well: its memory is the file, and it reads as zeros from now on,
 * durably after a sync, as lazily filled memory does that is written back.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* include/uapi/asm-generic/mman-common.h, Linux 5.18 */
#endif

/* Pages that one mincore call looks at: bounded, for it is on the stack. */
enum { RESIDENT_CHUNK = 4096 };

static int failed(const struct lazymem_mapping *mapping, const char *call, size_t start,
		  size_t length)
{
	return lm_error_errno(-errno, "mapping %s: %s of [0x%zx+0x%zx]", mapping->name, call, start,
			      length);
}

static int plain_sync(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	(void)state;
	if (!lm_mapping_is_file(mapping) || !lm_mapping_is_shared(mapping))
		return 0;
	if (msync(mapping->host + start, length, MS_SYNC) != 0)
		return failed(mapping, "msync", start, length);
	return 0;
}

static int punch_hole(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	/* inside the file, so the offset fits in off_t */
	const off_t offset = (off_t)(mapping->fd_offset + start);

	while (fallocate(mapping->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
			 (off_t)length) != 0) {
		if (errno == EBADF)
			return lm_error(-EACCES,
					"mapping %s: a discard would change its file, which is "
					"open for reading only",
					mapping->name);
		if (errno != EINTR)
			return failed(mapping, "punching a hole", start, length);
	}
	return 0;
}

/* Memory that is locked (LAZYMEM_MAPPING_LOCK_ON_FAULT, mlockall) has a verb of its own. */
static int drop_private(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	void *host = mapping->host + start;

	if (madvise(host, length, MADV_DONTNEED) == 0)
		return 0;
	if (errno == EINVAL && madvise(host, length, MADV_DONTNEED_LOCKED) == 0)
		return 0;
	return failed(mapping, "MADV_DONTNEED", start, length);
}

static int plain_discard(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	(void)state;
	if (lm_mapping_is_shared(mapping))
		return punch_hole(mapping, start, length);
	return drop_private(mapping, start, length);
}

static int plain_prefetch(struct lazymem_mapping *mapping, void *state, size_t start, size_t length)
{
	(void)state;
	if (mapping->source == LM_SOURCE_HUGETLB)
		return 0;
	/* EBADF: anonymous memory, and a kernel without swap to bring it back from */
	if (madvise(mapping->host + start, length, MADV_WILLNEED) != 0 && errno != EBADF)
		return failed(mapping, "MADV_WILLNEED", start, length);
	return 0;
}

/* Bytes in memory of at most RESIDENT_CHUNK base pages. */
static int resident_chunk(const struct lazymem_mapping *mapping, size_t start, size_t length,
			  size_t *ret_bytes)
{
	const size_t page_size = lm_base_page_size();
	unsigned char pages[RESIDENT_CHUNK];
	size_t bytes = 0;

	while (mincore(mapping->host + start, length, pages) != 0) {
		if (errno != EAGAIN)
			return failed(mapping, "mincore", start, length);
	}
	for (size_t i = 0; i < length / page_size; i++)
		bytes += pages[i] & 1 ? page_size : 0;
	*ret_bytes = bytes;
	return 0;
}

static int plain_resident(struct lazymem_mapping *mapping, void *state, size_t start, size_t length,
			  size_t *ret_bytes)
{
	const size_t chunk = RESIDENT_CHUNK * lm_base_page_size();
	size_t total = 0;

	(void)state;
	for (size_t used = 0; used < length;) {
		const size_t piece = lm_min(length - used, chunk);
		size_t bytes = 0;
		const int error = resident_chunk(mapping, start + used, piece, &bytes);

		if (error != 0)
			return error;
		total += bytes;
		used += piece;
	}
	*ret_bytes = total;
	return 0;
}

const struct lm_mapping_operations lm_mapping_plain = {
	.sync = plain_sync,
	.discard = plain_discard,
	.prefetch = plain_prefetch,
	.resident = plain_resident,
};
