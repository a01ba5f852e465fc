/* SPDX-License-Identifier: MIT
 *
 * mapping_operations.h - how core syncs, discards, populates or looks at a
 * mapping without knowing whether somebody serves its faults.
 *
 * A mapping starts with the plain table (mapping_plain.c). Attaching replaces
 * it, letting go puts the plain one back. Both wait until every call through
 * the old table has returned, so the state behind a table may be freed after
 * it was replaced. An operation therefore must not call lazymem_mapping_* for
 * its own mapping; to forward, it calls lm_mapping_plain.
 */
#ifndef LM_MAPPING_OPERATIONS_H
#define LM_MAPPING_OPERATIONS_H

#include <lazymem/memory.h>

/* start and length are checked: inside the mapping, whole pages, length > 0.
 * state is what was given to lm_mapping_attach. */
struct lm_mapping_operations {
	int (*sync)(struct lazymem_mapping *mapping, void *state, size_t start, size_t length);
	int (*discard)(struct lazymem_mapping *mapping, void *state, size_t start, size_t length);
	int (*prefetch)(struct lazymem_mapping *mapping, void *state, size_t start, size_t length);
	int (*resident)(struct lazymem_mapping *mapping, void *state, size_t start, size_t length,
			size_t *ret_bytes);
};

/* The plain table; a lazy table forwards what it does not change. */
extern const struct lm_mapping_operations lm_mapping_plain;

/* Replace the plain table. -EBUSY when it is replaced already. */
int lm_mapping_attach(struct lazymem_mapping *mapping,
		      const struct lm_mapping_operations *operations, void *state);

/* Put the plain table back; returns when no call through the other one runs. */
void lm_mapping_detach(struct lazymem_mapping *mapping);

/* Was LAZYMEM_MAPPING_HUGEPAGES or lazymem_mapping_use_hugepages effective? Not
 * so below 2 MiB, nor for hugetlb memory, which needs no advice. */
bool lm_mapping_wants_hugepages(const struct lazymem_mapping *mapping);

/* Shared memory holds poison that a huge page would turn into zeros (settle.c of
 * uffd): from now on the advice is withdrawn, and taken without effect. Undone
 * by the next lm_mapping_attach. */
void lm_mapping_refuse_hugepages(struct lazymem_mapping *mapping);

/* Is MADV_DONTFORK in force by the owner's wish? */
bool lm_mapping_is_dontfork(const struct lazymem_mapping *mapping);

/* PROT_* that the mapping was made with. */
int lm_mapping_protection(const struct lazymem_mapping *mapping);

/* Is the memory shared (memfd, hugetlb, a shared file, adopted with a
 * descriptor)? */
bool lm_mapping_is_shared(const struct lazymem_mapping *mapping);

/* Is it a mapping of a regular file or block device, adopted ones included? */
bool lm_mapping_is_file(const struct lazymem_mapping *mapping);

#endif
