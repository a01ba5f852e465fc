/* SPDX-License-Identifier: MIT
 *
 * mapping.c - one host range: its references, what it is, and the dispatch in
 * front of its table of operations.
 *
 * Everything but three fields is set before a mapping is handed out and never
 * changes: the two remembered pieces of advice, which are atomic, and the
 * table with its state, which are under `lock`. A call through the table holds
 * it shared and may sleep in there (msync, or a discard that waits for its
 * event to be read); attaching and detaching hold it exclusively, so when
 * lm_mapping_detach returns nobody runs in the old table any more.
 *
 * The lock is never held while guest memory is touched: an access may wait for
 * a fault to be served, and whoever serves it may be waiting for the lock.
 * An operation must not call the dispatch of its own mapping.
 */
#include "core/mapping.h"

#include "core/checked.h"
#include "core/error.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- references ---------------------------------------------------------- */

struct lazymem_mapping *lazymem_mapping_ref(struct lazymem_mapping *mapping)
{
	atomic_fetch_add_explicit(&mapping->references, 1, memory_order_relaxed);
	return mapping;
}

size_t lm_base_page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

void lm_mapping_free(struct lazymem_mapping *mapping)
{
	if (mapping->host != NULL && mapping->kind != LAZYMEM_MAPPING_ADOPTED)
		munmap(mapping->host, mapping->length);
	if (mapping->fd >= 0)
		close(mapping->fd);
	pthread_rwlock_destroy(&mapping->lock);
	free(mapping->name);
	free(mapping);
}

void lazymem_mapping_unref(struct lazymem_mapping *mapping)
{
	if (mapping == NULL)
		return;
	if (atomic_fetch_sub_explicit(&mapping->references, 1, memory_order_acq_rel) != 1)
		return;
	assert(mapping->operations == &lm_mapping_plain);
	/* a failure leaves its message, though nobody can be told by a result */
	lm_mapping_plain.sync(mapping, NULL, 0, mapping->length);
	lm_mapping_free(mapping);
}

/* ---- what it is ---------------------------------------------------------- */

struct lazymem_span lazymem_mapping_span(const struct lazymem_mapping *mapping)
{
	return (struct lazymem_span){mapping->host, mapping->length};
}

enum lazymem_mapping_kind lazymem_mapping_get_kind(const struct lazymem_mapping *mapping)
{
	return mapping->kind;
}

size_t lazymem_mapping_page_size(const struct lazymem_mapping *mapping)
{
	return mapping->page_size;
}

int lazymem_mapping_fd(const struct lazymem_mapping *mapping, int *ret_fd, uint64_t *ret_offset)
{
	if (mapping->fd < 0)
		return lm_error(-ENOENT, "mapping %s is anonymous and has no descriptor",
				mapping->name);
	*ret_fd = mapping->fd;
	*ret_offset = mapping->fd_offset;
	return 0;
}

bool lm_mapping_wants_hugepages(const struct lazymem_mapping *mapping)
{
	return atomic_load(&mapping->wants_hugepages);
}

int lm_mapping_protection(const struct lazymem_mapping *mapping)
{
	return mapping->protection;
}

void lm_mapping_refuse_hugepages(struct lazymem_mapping *mapping)
{
	atomic_store(&mapping->refuses_hugepages, true);
	atomic_store(&mapping->wants_hugepages, false);
	madvise(mapping->host, mapping->length,
		MADV_NOHUGEPAGE); /* EINVAL: there are none anyway */
}

bool lm_mapping_is_dontfork(const struct lazymem_mapping *mapping)
{
	return atomic_load(&mapping->is_dontfork);
}

bool lm_mapping_is_shared(const struct lazymem_mapping *mapping)
{
	return mapping->fd >= 0 && mapping->kind != LAZYMEM_MAPPING_FILE_PRIVATE;
}

bool lm_mapping_is_file(const struct lazymem_mapping *mapping)
{
	return mapping->source == LM_SOURCE_FILE;
}

/* ---- advice -------------------------------------------------------------- */

int lazymem_mapping_use_hugepages(struct lazymem_mapping *mapping)
{
	if (mapping->length < LM_HUGE_PAGE || mapping->source == LM_SOURCE_HUGETLB)
		return 0;
	if (atomic_load(&mapping->refuses_hugepages))
		return 0;
	if (madvise(mapping->host, mapping->length, MADV_HUGEPAGE) != 0) {
		if (errno == EINVAL)
			return lm_error(-EOPNOTSUPP,
					"mapping %s: MADV_HUGEPAGE is refused: no transparent huge "
					"pages in this kernel, or not for this memory",
					mapping->name);
		return lm_error_errno(-errno, "mapping %s: MADV_HUGEPAGE of %zu bytes",
				      mapping->name, mapping->length);
	}
	atomic_store(&mapping->wants_hugepages, true);
	if (atomic_load(&mapping->refuses_hugepages)) /* since a moment ago */
		lm_mapping_refuse_hugepages(mapping);
	return 0;
}

int lazymem_mapping_use_dontfork(struct lazymem_mapping *mapping)
{
	if (madvise(mapping->host, mapping->length, MADV_DONTFORK) != 0)
		return lm_error_errno(-errno, "mapping %s: MADV_DONTFORK of %zu bytes",
				      mapping->name, mapping->length);
	atomic_store(&mapping->is_dontfork, true);
	return 0;
}

/* ---- the table of operations --------------------------------------------- */

int lm_mapping_attach(struct lazymem_mapping *mapping,
		      const struct lm_mapping_operations *operations, void *state)
{
	bool is_free;

	pthread_rwlock_wrlock(&mapping->lock);
	is_free = mapping->operations == &lm_mapping_plain;
	if (is_free) {
		mapping->operations = operations;
		mapping->state = state;
		atomic_store(&mapping->refuses_hugepages, false);
	}
	pthread_rwlock_unlock(&mapping->lock);
	if (!is_free)
		return lm_error(-EBUSY, "mapping %s is attached already", mapping->name);
	return 0;
}

void lm_mapping_detach(struct lazymem_mapping *mapping)
{
	pthread_rwlock_wrlock(&mapping->lock);
	mapping->operations = &lm_mapping_plain;
	mapping->state = NULL;
	pthread_rwlock_unlock(&mapping->lock);
}

bool lm_mapping_is_attached(struct lazymem_mapping *mapping)
{
	bool is_attached;

	pthread_rwlock_rdlock(&mapping->lock);
	is_attached = mapping->operations != &lm_mapping_plain;
	pthread_rwlock_unlock(&mapping->lock);
	return is_attached;
}

static int check_range(const struct lazymem_mapping *mapping, size_t start, size_t length,
		       const char *verb)
{
	if (length == 0)
		return lm_error(-EINVAL, "mapping %s: %s of no bytes at 0x%zx", mapping->name, verb,
				start);
	if (!lm_fits(start, length, mapping->length))
		return lm_error(-ERANGE, "mapping %s: %s of [0x%zx+0x%zx] lies past its end 0x%zx",
				mapping->name, verb, start, length, mapping->length);
	if (!lm_is_aligned(start, mapping->page_size))
		return lm_error(-EINVAL,
				"mapping %s: %s at 0x%zx, no multiple of the page size %zu",
				mapping->name, verb, start, mapping->page_size);
	return 0;
}

static int check_pages(const struct lazymem_mapping *mapping, size_t start, size_t length,
		       const char *verb)
{
	const int error = check_range(mapping, start, length, verb);

	if (error != 0)
		return error;
	if (!lm_is_aligned(length, mapping->page_size))
		return lm_error(-EINVAL,
				"mapping %s: %s of 0x%zx bytes, no multiple of the page size %zu",
				mapping->name, verb, length, mapping->page_size);
	return 0;
}

int lazymem_mapping_sync(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	uint64_t whole_pages = length;
	int error = check_range(mapping, start, length, "sync");

	if (error != 0)
		return error;
	/* cannot wrap, nor leave the mapping: that is a multiple of the page size long */
	lm_align_up(length, mapping->page_size, &whole_pages);
	pthread_rwlock_rdlock(&mapping->lock);
	error = mapping->operations->sync(mapping, mapping->state, start, whole_pages);
	pthread_rwlock_unlock(&mapping->lock);
	return error;
}

int lazymem_mapping_discard(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	int error = check_pages(mapping, start, length, "discard");

	if (error != 0)
		return error;
	pthread_rwlock_rdlock(&mapping->lock);
	error = mapping->operations->discard(mapping, mapping->state, start, length);
	pthread_rwlock_unlock(&mapping->lock);
	return error;
}

int lazymem_mapping_prefetch(struct lazymem_mapping *mapping, size_t start, size_t length)
{
	int error = check_pages(mapping, start, length, "prefetch");

	if (error != 0)
		return error;
	pthread_rwlock_rdlock(&mapping->lock);
	error = mapping->operations->prefetch(mapping, mapping->state, start, length);
	pthread_rwlock_unlock(&mapping->lock);
	return error;
}

int lazymem_mapping_resident(struct lazymem_mapping *mapping, size_t start, size_t length,
			     size_t *ret_bytes)
{
	size_t bytes = 0;
	int error = check_pages(mapping, start, length, "resident");

	if (error != 0)
		return error;
	pthread_rwlock_rdlock(&mapping->lock);
	error = mapping->operations->resident(mapping, mapping->state, start, length, &bytes);
	pthread_rwlock_unlock(&mapping->lock);
	if (error == 0)
		*ret_bytes = bytes;
	return error;
}
