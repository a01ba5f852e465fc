/* SPDX-License-Identifier: MIT
 *
 * mapping.h - what the mapping_*.c files share.
 */
#ifndef LM_MAPPING_H
#define LM_MAPPING_H

#include "core/mapping_operations.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#define LM_HUGE_PAGE ((size_t)2 << 20)

/* What lies under a mapping, whoever made it. */
enum lm_memory_source {
	LM_SOURCE_ANONYMOUS,
	LM_SOURCE_MEMFD, /* or another file on tmpfs that was adopted */
	LM_SOURCE_HUGETLB,
	LM_SOURCE_FILE, /* regular file or block device */
};

struct lazymem_mapping {
	atomic_size_t references;
	enum lazymem_mapping_kind kind;
	enum lm_memory_source source;
	unsigned char *host; /* NULL until it is placed */
	size_t length;
	size_t page_size;
	int protection;     /* PROT_*; of an adopted mapping: taken to be read and write */
	int fd;             /* ours; -1 for anonymous memory */
	uint64_t fd_offset; /* of the first byte, in fd */
	char *name;
	atomic_bool wants_hugepages;
	atomic_bool refuses_hugepages;
	atomic_bool is_dontfork;

	/* Shared around a call through the table, exclusive around its replacement. */
	pthread_rwlock_t lock;
	const struct lm_mapping_operations *operations;
	void *state;
};

size_t lm_base_page_size(void);

/* The caller's options with the defaults filled in and every field checked
 * for memory in pages of page_size bytes. */
int lm_mapping_options(const struct lazymem_mapping_options *options, size_t length,
		       size_t page_size, struct lazymem_mapping_options *ret_known);

/* A mapping of nothing yet: no host range, no descriptor. -EINVAL when length
 * is no positive multiple of page_size. */
int lm_mapping_allocate(enum lazymem_mapping_kind kind, enum lm_memory_source source, size_t length,
			size_t page_size, const char *name, struct lazymem_mapping **ret_mapping);

/* Unmap, close and free, however much of it there is. */
void lm_mapping_free(struct lazymem_mapping *mapping);

/* mmap at a host address with the alignment of known; map_flags as for mmap,
 * MAP_ANONYMOUS is added where there is no descriptor. */
int lm_mapping_place(struct lazymem_mapping *mapping, const struct lazymem_mapping_options *known,
		     int map_flags);

/* Apply the flags of known to a host range that is there. */
int lm_mapping_advise(struct lazymem_mapping *mapping, const struct lazymem_mapping_options *known);

/* Is another table than the plain one in force? */
bool lm_mapping_is_attached(struct lazymem_mapping *mapping);

#endif
