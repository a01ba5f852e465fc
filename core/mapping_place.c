/* SPDX-License-Identifier: MIT
 *
 * mapping_place.c - from checked options to a host range.
 *
 * mmap aligns to the page size only, but a guest whose memory is to end up in
 * huge pages needs host and guest addresses that agree modulo 2 MiB. So where
 * the alignment is above the page size, address space for length + alignment
 * bytes is reserved with PROT_NONE, the memory is mapped over the aligned part
 * of it, and what is left over at both ends is given back.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"
#include "core/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KNOWN_FLAGS                                                                                \
	(LAZYMEM_MAPPING_DUMP | LAZYMEM_MAPPING_DONTFORK | LAZYMEM_MAPPING_MERGEABLE |             \
	 LAZYMEM_MAPPING_LOCK_ON_FAULT | LAZYMEM_MAPPING_HUGEPAGES)
#define KNOWN_PROTECTION (PROT_READ | PROT_WRITE | PROT_EXEC)

int lm_mapping_options(const struct lazymem_mapping_options *options, size_t length,
		       size_t page_size, struct lazymem_mapping_options *ret_known)
{
	struct lazymem_mapping_options known;
	const int error =
		lm_options_copy(options, &known, sizeof(known), "struct lazymem_mapping_options");

	if (error != 0)
		return error;
	if (known.flags & ~KNOWN_FLAGS)
		return lm_error(-EINVAL, "mapping flags 0x%x are not known",
				known.flags & ~KNOWN_FLAGS);
	if (known.protection & ~KNOWN_PROTECTION)
		return lm_error(-EINVAL, "protection bits 0x%x are not known",
				(unsigned)(known.protection & ~KNOWN_PROTECTION));
	if (known.protection == 0)
		known.protection = PROT_READ | PROT_WRITE;
	if (known.alignment == 0)
		known.alignment = length >= LM_HUGE_PAGE && page_size < LM_HUGE_PAGE ? LM_HUGE_PAGE
										     : page_size;
	if (!lm_is_power_of_two(known.alignment) || known.alignment < page_size)
		return lm_error(-EINVAL,
				"alignment %zu is no power of two of at least the page size, %zu",
				known.alignment, page_size);
	*ret_known = known;
	return 0;
}

int lm_mapping_allocate(enum lazymem_mapping_kind kind, enum lm_memory_source source, size_t length,
			size_t page_size, const char *name, struct lazymem_mapping **ret_mapping)
{
	pthread_rwlockattr_t attributes;
	struct lazymem_mapping *mapping;

	if (length == 0 || !lm_is_aligned(length, page_size))
		return lm_error(-EINVAL,
				"mapping %s: length %zu is no positive multiple of the page size, "
				"%zu",
				name, length, page_size);
	mapping = calloc(1, sizeof(*mapping));
	if (mapping == NULL)
		return lm_error(-ENOMEM, "mapping %s: out of memory", name);
	mapping->name = strdup(name);
	if (mapping->name == NULL) {
		free(mapping);
		return lm_error(-ENOMEM, "mapping %s: out of memory", name);
	}
	atomic_init(&mapping->references, 1);
	mapping->kind = kind;
	mapping->source = source;
	mapping->length = length;
	mapping->page_size = page_size;
	mapping->fd = -1;
	mapping->operations = &lm_mapping_plain;
	/* a replacement must not wait for ever behind a stream of calls */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&mapping->lock, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	*ret_mapping = mapping;
	return 0;
}

static int refused(const struct lazymem_mapping *mapping, const char *call)
{
	return lm_error_errno(-errno, "mapping %s: %s of %zu bytes", mapping->name, call,
			      mapping->length);
}

/* The memory itself, at `where` if it is not NULL. */
static void *map_at(const struct lazymem_mapping *mapping, void *where, int map_flags)
{
	if (where != NULL)
		map_flags |= MAP_FIXED;
	if (mapping->fd < 0)
		map_flags |= MAP_ANONYMOUS;
	return mmap(where, mapping->length, mapping->protection, map_flags, mapping->fd,
		    (off_t)mapping->fd_offset);
}

/* Give back what of [start, start + length) lies outside the mapping. */
static void trim(unsigned char *start, size_t length, const unsigned char *host, size_t host_length)
{
	const size_t head = (size_t)(host - start);
	const size_t tail = length - head - host_length;

	if (head > 0)
		munmap(start, head);
	if (tail > 0)
		munmap(start + head + host_length, tail);
}

static int place_aligned(struct lazymem_mapping *mapping, size_t alignment, int map_flags)
{
	size_t reserved_length;
	uint64_t aligned = 0;
	void *reserved, *host;
	int error;

	if (__builtin_add_overflow(mapping->length, alignment, &reserved_length))
		return lm_error(-ENOMEM, "mapping %s: %zu bytes at a multiple of %zu do not fit",
				mapping->name, mapping->length, alignment);
	reserved = mmap(NULL, reserved_length, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (reserved == MAP_FAILED)
		return refused(mapping, "mmap");
	/* cannot wrap: the next multiple lies inside the reservation */
	lm_align_up((uintptr_t)reserved, alignment, &aligned);
	host = (unsigned char *)reserved + (aligned - (uintptr_t)reserved);
	if (map_at(mapping, host, map_flags) == MAP_FAILED) {
		error = refused(mapping, "mmap");
		munmap(reserved, reserved_length);
		return error;
	}
	trim(reserved, reserved_length, host, mapping->length);
	mapping->host = host;
	return 0;
}

int lm_mapping_place(struct lazymem_mapping *mapping, const struct lazymem_mapping_options *known,
		     int map_flags)
{
	void *host;

	mapping->protection = known->protection;
	if (known->alignment > mapping->page_size)
		return place_aligned(mapping, known->alignment, map_flags);
	host = map_at(mapping, NULL, map_flags);
	if (host == MAP_FAILED)
		return refused(mapping, "mmap");
	mapping->host = host;
	return 0;
}

static int lock_on_fault(struct lazymem_mapping *mapping)
{
	if (mlock2(mapping->host, mapping->length, MLOCK_ONFAULT) == 0)
		return 0;
	return lm_error_errno(-errno, "mapping %s: mlock2 of %zu bytes (see RLIMIT_MEMLOCK)",
			      mapping->name, mapping->length);
}

int lm_mapping_advise(struct lazymem_mapping *mapping, const struct lazymem_mapping_options *known)
{
	const unsigned flags = known->flags;
	int error;

	if ((flags & LAZYMEM_MAPPING_MERGEABLE) && mapping->source != LM_SOURCE_ANONYMOUS)
		return lm_error(-EINVAL,
				"mapping %s: LAZYMEM_MAPPING_MERGEABLE is for anonymous memory",
				mapping->name);
	if (!(flags & LAZYMEM_MAPPING_DUMP) &&
	    madvise(mapping->host, mapping->length, MADV_DONTDUMP) != 0)
		return refused(mapping, "MADV_DONTDUMP");
	if ((flags & LAZYMEM_MAPPING_MERGEABLE) &&
	    madvise(mapping->host, mapping->length, MADV_MERGEABLE) != 0)
		return refused(mapping, "MADV_MERGEABLE");
	if (flags & LAZYMEM_MAPPING_DONTFORK) {
		error = lazymem_mapping_use_dontfork(mapping);
		if (error != 0)
			return error;
	}
	if (flags & LAZYMEM_MAPPING_HUGEPAGES) {
		error = lazymem_mapping_use_hugepages(mapping);
		if (error != 0)
			return error;
	}
	return flags & LAZYMEM_MAPPING_LOCK_ON_FAULT ? lock_on_fault(mapping) : 0;
}
