/* SPDX-License-Identifier: MIT
 *
 * guest_memory.h - the memory of a guest: made of the library's mappings and
 * regions, and always attached to a handler, so that it can be filled lazily,
 * given back, and snapshotted.
 *
 * Functions that can fail return 0, or -1 and leave a sentence in fault_message().
 */
#ifndef LAZYVM_GUEST_MEMORY_H
#define LAZYVM_GUEST_MEMORY_H

#include <lazymem/dirty.h>
#include <lazymem/handler.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define GUEST_MEMORY_REGIONS_MAX 8
#define GUEST_MEMORY_HOLE (UINT64_C(3) << 30)  /* no memory from here on ... */
#define GUEST_MEMORY_UPPER (UINT64_C(4) << 30) /* ... up to here */
#define GUEST_MEMORY_MOST (UINT64_C(64) << 30) /* no memory from here on */
#define GUEST_MEMORY_ALIGNMENT (UINT64_C(2) << 20)

enum guest_memory_kind {
	GUEST_MEMORY_ANONYMOUS,
	GUEST_MEMORY_MEMFD,
	GUEST_MEMORY_HUGETLB,
};

/* "anonymous", ... NULL ends them; in the order of the enum. */
extern const char *const guest_memory_kinds[];

struct guest_region_shape {
	uint64_t base;
	uint64_t length; /* both in whole GUEST_MEMORY_ALIGNMENT */
};

/* Where memory is in the guest: what every restore must find again. */
struct guest_memory_shape {
	size_t region_count;
	struct guest_region_shape regions[GUEST_MEMORY_REGIONS_MAX]; /* in ascending order */
};

/* What it is made of on this host: may differ at each restore. */
struct guest_memory_options {
	enum guest_memory_kind kind;
	bool hugepages; /* advise transparent huge pages */

	/* The regions are filled from this object, one after the other from its
	 * first byte on. NULL: the guest is fresh, all zeros. A reference is taken. */
	struct lazymem_backing *backing;

	/* The same, with an object for each region. Used where `backing` is NULL. */
	struct lazymem_backing *region_backings[GUEST_MEMORY_REGIONS_MAX];

	/* What `backing` is made of, the caller's: servers that need not be waited for when
	 * the guest is ended. NULL: nothing but `backing` itself. */
	struct lazymem_backing *const *parts;
	size_t part_count;

	/* Failed reads of a page before it is poisoned, and the guest stopped. 0: five. */
	unsigned attempts;
};

struct guest_memory {
	struct guest_memory_shape shape;
	struct guest_memory_options options;
	struct lazymem_memory *memory;
	struct lazymem_handler *handler;
	struct lazymem_attachment *attachment; /* NULL: not attached yet */
	pthread_mutex_t lock;                  /* of the next */
	struct lazymem_dirty *settled;         /* what is never read: NULL before it is attached */
	char *_Atomic failure;                 /* about the first page that was poisoned */
};

/* The regions of `length` bytes: one half, but no more than fits below the hole,
 * from address 0 on, the rest from 4 GiB on. */
int guest_memory_split(uint64_t length, struct guest_memory_shape *ret_shape);

/* Shapes come from files and from the network. */
int guest_memory_check_shape(const struct guest_memory_shape *shape);

/* Bytes of all regions. */
uint64_t guest_memory_length(const struct guest_memory_shape *shape);

/* Is it filled from objects of its own, which a migration has and which go away? */
bool guest_memory_has_come(const struct guest_memory *memory);

/* Make mappings, regions and the handler. Nothing is there yet, and nothing is
 * lazy yet: a destination of a migration may write pages of its own now. */
int guest_memory_create(const struct guest_memory_shape *shape,
			const struct guest_memory_options *options,
			struct guest_memory **ret_memory);

/* From now on, missing pages are filled. Before the first vCPU runs. `present`: pages that were
 * written already, and are right; NULL: none. */
int guest_memory_attach(struct guest_memory *memory, const struct lazymem_dirty *present);

/* Give pages back: they read as zeros. The range comes from a guest, and is trusted in nothing. Any
 * thread. */
int guest_memory_discard(struct guest_memory *memory, uint64_t start, uint64_t length);

/* Pages that are never read any more, whatever there is to read: they were present when the memory
 * was attached, or were given back since. The set is the caller's to destroy. Any thread. */
int guest_memory_copy_settled(struct guest_memory *memory, struct lazymem_dirty **ret_settled);

/* The sentence on the first page that could not be read and was poisoned; NULL: none.
 * Any thread. */
const char *guest_memory_failure(struct guest_memory *memory);

/* Whoever waits for bytes of a server gets an error from now on: it may never come back. */
void guest_memory_give_up(struct guest_memory *memory);

/* Let go without populating: whoever waits for a page gets an error. Tolerates memory that is not
 * attached. */
void guest_memory_let_go(struct guest_memory *memory);

/* Let go, and free. NULL is allowed. Nobody may use the memory any more. */
void guest_memory_destroy(struct guest_memory *memory);

#endif
