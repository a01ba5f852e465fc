/* SPDX-License-Identifier: MIT
 *
 * mapping_create.c - mappings of memory that this library makes: anonymous,
 * memfd and hugetlb.
 *
 * A memfd is sealed with F_SEAL_SHRINK, so that nobody who was given the
 * descriptor can turn an access into SIGBUS; with F_SEAL_GROW, because nothing
 * past the mapping is ours; and with F_SEAL_SEAL, because a later
 * F_SEAL_FUTURE_WRITE would take discards from us (a hole is a write).
 *
 * Anonymous memory is mapped with MAP_NORESERVE: a guest is rarely all there,
 * and under the heuristic overcommit policy a mapping above the size of RAM
 * would be refused. Hugetlb memory is not: what mmap reserves there is the
 * promise that no later fault ends in SIGBUS.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* memfd_create(2): 255 bytes less "memfd:". */
enum { MEMFD_NAME_LIMIT = 249 };

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

static const char *name_of(const struct lazymem_mapping_options *known, const char *otherwise)
{
	return known->name != NULL ? known->name : otherwise;
}

/* Apply the flags and hand the mapping over, or free it. */
static int complete(struct lazymem_mapping *mapping, const struct lazymem_mapping_options *known,
		    int error, struct lazymem_mapping **ret_mapping)
{
	if (error == 0)
		error = lm_mapping_advise(mapping, known);
	if (error != 0) {
		lm_mapping_free(mapping);
		return error;
	}
	*ret_mapping = mapping;
	return 0;
}

int lazymem_mapping_create_anonymous(size_t length, const struct lazymem_mapping_options *options,
				     struct lazymem_mapping **ret_mapping)
{
	const size_t page_size = lm_base_page_size();
	struct lazymem_mapping_options known;
	struct lazymem_mapping *mapping = NULL;
	int error = lm_mapping_options(options, length, page_size, &known);

	if (error != 0)
		return error;
	error = lm_mapping_allocate(LAZYMEM_MAPPING_ANONYMOUS, LM_SOURCE_ANONYMOUS, length,
				    page_size, name_of(&known, "anonymous"), &mapping);
	if (error != 0)
		return error;
	error = lm_mapping_place(mapping, &known, MAP_PRIVATE | MAP_NORESERVE);
	return complete(mapping, &known, error, ret_mapping);
}

/* A file of the mapping's length in memory, sealed at that length. */
static int open_memfd(struct lazymem_mapping *mapping, unsigned flags)
{
	if (strlen(mapping->name) > MEMFD_NAME_LIMIT)
		return lm_error(-EINVAL, "mapping name of %zu bytes: a memfd has at most %d",
				strlen(mapping->name), MEMFD_NAME_LIMIT);
	if (mapping->length > INT64_MAX)
		return lm_error(-EINVAL, "mapping %s: length %zu is above that of any file",
				mapping->name, mapping->length);
	mapping->fd = memfd_create(mapping->name, flags | MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (mapping->fd < 0)
		return lm_error_errno(-errno, "mapping %s: memfd_create", mapping->name);
	if (ftruncate(mapping->fd, (off_t)mapping->length) != 0)
		return lm_error_errno(-errno, "mapping %s: a memfd of %zu bytes", mapping->name,
				      mapping->length);
	if (fcntl(mapping->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
		return lm_error_errno(-errno, "mapping %s: sealing the memfd", mapping->name);
	return 0;
}

int lazymem_mapping_create_memfd(size_t length, const struct lazymem_mapping_options *options,
				 struct lazymem_mapping **ret_mapping)
{
	const size_t page_size = lm_base_page_size();
	struct lazymem_mapping_options known;
	struct lazymem_mapping *mapping = NULL;
	int error = lm_mapping_options(options, length, page_size, &known);

	if (error != 0)
		return error;
	error = lm_mapping_allocate(LAZYMEM_MAPPING_MEMFD, LM_SOURCE_MEMFD, length, page_size,
				    name_of(&known, "memfd"), &mapping);
	if (error != 0)
		return error;
	error = open_memfd(mapping, 0);
	if (error == 0)
		error = lm_mapping_place(mapping, &known, MAP_SHARED);
	return complete(mapping, &known, error, ret_mapping);
}

/* Pages of this size that the pool has free; zero where that is not known. */
static unsigned long long free_hugetlb_pages(size_t page_size)
{
	unsigned long long pages = 0;
	char path[96];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%zukB/free_hugepages",
		 page_size / 1024);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%llu", &pages) != 1)
		pages = 0;
	fclose(file);
	return pages;
}

static int pool_too_small(const struct lazymem_mapping *mapping)
{
	return lm_error(-ENOMEM,
			"mapping %s: %zu hugetlb pages of %zu bytes are needed, %llu are free: "
			"raise vm.nr_hugepages (or nr_hugepages of that size in "
			"/sys/kernel/mm/hugepages)",
			mapping->name, mapping->length / mapping->page_size, mapping->page_size,
			free_hugetlb_pages(mapping->page_size));
}

static int place_hugetlb(struct lazymem_mapping *mapping,
			 const struct lazymem_mapping_options *known)
{
	const unsigned order = (unsigned)__builtin_ctzll(mapping->page_size);
	int error = open_memfd(mapping, MFD_HUGETLB | order << MFD_HUGE_SHIFT);

	if (mapping->fd < 0 && (error == -ENODEV || error == -ENOSYS))
		return lm_error(-EINVAL,
				"mapping %s: this machine has no hugetlb pages of %zu bytes",
				mapping->name, mapping->page_size);
	if (error != 0)
		return error;
	error = lm_mapping_place(mapping, known, MAP_SHARED);
	return error == -ENOMEM ? pool_too_small(mapping) : error;
}

int lazymem_mapping_create_hugetlb(size_t length, size_t page_size,
				   const struct lazymem_mapping_options *options,
				   struct lazymem_mapping **ret_mapping)
{
	struct lazymem_mapping_options known;
	struct lazymem_mapping *mapping = NULL;
	int error;

	if (!lm_is_power_of_two(page_size) || page_size <= lm_base_page_size())
		return lm_error(-EINVAL, "%zu bytes is the size of no hugetlb page", page_size);
	error = lm_mapping_options(options, length, page_size, &known);
	if (error != 0)
		return error;
	error = lm_mapping_allocate(LAZYMEM_MAPPING_HUGETLB, LM_SOURCE_HUGETLB, length, page_size,
				    name_of(&known, "hugetlb"), &mapping);
	if (error != 0)
		return error;
	error = place_hugetlb(mapping, &known);
	return complete(mapping, &known, error, ret_mapping);
}
