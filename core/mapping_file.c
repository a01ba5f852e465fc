/* SPDX-License-Identifier: MIT
 *
 * mapping_file.c - mappings of what somebody else made: a file that is open,
 * or memory that is mapped already.
 *
 * Both keep a descriptor of their own, so that the caller may close his. Both
 * check that the whole range lies in the file: beyond its last page an access
 * would raise SIGBUS, and the time to say so is now. Nothing can stop a
 * regular file from being truncated later.
 */
#include "core/checked.h"
#include "core/error.h"
#include "core/mapping.h"
#include "core/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

struct file_facts {
	int access; /* O_RDONLY, O_WRONLY or O_RDWR */
	uint64_t size;
	enum lm_memory_source source;
	size_t page_size;
};

static int find_size(int fd, uint64_t *ret_size)
{
	struct stat status;
	uint64_t size;

	if (fstat(fd, &status) != 0)
		return lm_error_errno(-errno, "descriptor %d", fd);
	if (S_ISDIR(status.st_mode))
		return lm_error(-EISDIR, "descriptor %d is a directory", fd);
	if (S_ISREG(status.st_mode)) {
		*ret_size = (uint64_t)status.st_size;
		return 0;
	}
	if (!S_ISBLK(status.st_mode))
		return lm_error(-EINVAL,
				"descriptor %d is neither a regular file nor a block device", fd);
	if (ioctl(fd, BLKGETSIZE64, &size) != 0)
		return lm_error_errno(-errno, "descriptor %d: size of the block device", fd);
	*ret_size = size;
	return 0;
}

static int find_source(int fd, struct file_facts *facts)
{
	struct statfs status;

	facts->source = LM_SOURCE_FILE;
	facts->page_size = lm_base_page_size();
	if (fstatfs(fd, &status) != 0)
		return lm_error_errno(-errno, "descriptor %d: its file system", fd);
	/* a device node on /dev, a tmpfs itself, is no memory */
	if ((unsigned long)status.f_type == TMPFS_MAGIC)
		facts->source = LM_SOURCE_MEMFD;
	if ((unsigned long)status.f_type == HUGETLBFS_MAGIC) {
		facts->source = LM_SOURCE_HUGETLB;
		facts->page_size = (size_t)status.f_bsize;
	}
	return 0;
}

static int is_block_device(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISBLK(status.st_mode);
}

static int examine(int fd, struct file_facts *ret_facts)
{
	struct file_facts facts = {0};
	const int flags = fcntl(fd, F_GETFL);
	int error;

	if (flags < 0 || (flags & O_PATH))
		return lm_error(-EBADF, "descriptor %d is not open for access", fd);
	facts.access = flags & O_ACCMODE;
	error = find_size(fd, &facts.size);
	if (error == 0)
		error = find_source(fd, &facts);
	if (error != 0)
		return error;
	if (facts.source == LM_SOURCE_MEMFD && is_block_device(fd))
		facts.source = LM_SOURCE_FILE;
	*ret_facts = facts;
	return 0;
}

/* Does the range begin on a page and lie in the file, up to its last page? */
static int check_range(int fd, const struct file_facts *facts, uint64_t offset, size_t length)
{
	uint64_t end, file_end;

	if (!lm_is_aligned(offset, facts->page_size))
		return lm_error(-EINVAL,
				"descriptor %d: offset %" PRIu64 " is no multiple of %zu bytes", fd,
				offset, facts->page_size);
	if (!lm_add(offset, length, &end) ||
	    !lm_align_up(facts->size, facts->page_size, &file_end) || end > file_end ||
	    end > INT64_MAX)
		return lm_error(-ERANGE,
				"descriptor %d: %zu bytes at offset %" PRIu64
				" lie past its end at %" PRIu64,
				fd, length, offset, facts->size);
	return 0;
}

static int check_access(int fd, const struct file_facts *facts, bool shared, int protection)
{
	if (facts->access == O_WRONLY)
		return lm_error(-EACCES, "descriptor %d is open for writing only; a mapping reads",
				fd);
	if (shared && (protection & PROT_WRITE) && facts->access != O_RDWR)
		return lm_error(-EACCES,
				"descriptor %d is open for reading only; the shared mapping is to "
				"be written",
				fd);
	return 0;
}

static int keep_descriptor(struct lazymem_mapping *mapping, int fd, uint64_t offset)
{
	mapping->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (mapping->fd < 0)
		return lm_error_errno(-errno, "mapping %s: duplicating descriptor %d",
				      mapping->name, fd);
	mapping->fd_offset = offset;
	return 0;
}

/* What lazymem_mapping_create_file checks before there is a mapping. */
static int check_file(int fd, uint64_t offset, size_t length, bool shared,
		      const struct lazymem_mapping_options *options,
		      struct lazymem_mapping_options *ret_known)
{
	struct file_facts facts = {0};
	int error = examine(fd, &facts);

	if (error != 0)
		return error;
	if (facts.source == LM_SOURCE_HUGETLB)
		return lm_error(-EINVAL,
				"descriptor %d lies on hugetlbfs: map it and adopt the mapping",
				fd);
	error = lm_mapping_options(options, length, facts.page_size, ret_known);
	if (error == 0)
		error = check_range(fd, &facts, offset, length);
	if (error == 0)
		error = check_access(fd, &facts, shared, ret_known->protection);
	return error;
}

int lazymem_mapping_create_file(int fd, uint64_t offset, size_t length, bool shared,
				const struct lazymem_mapping_options *options,
				struct lazymem_mapping **ret_mapping)
{
	struct lazymem_mapping_options known = {0};
	struct lazymem_mapping *mapping = NULL;
	int error = check_file(fd, offset, length, shared, options, &known);

	if (error != 0)
		return error;
	error = lm_mapping_allocate(
		shared ? LAZYMEM_MAPPING_FILE_SHARED : LAZYMEM_MAPPING_FILE_PRIVATE, LM_SOURCE_FILE,
		length, lm_base_page_size(), known.name != NULL ? known.name : "file", &mapping);
	if (error != 0)
		return error;
	error = keep_descriptor(mapping, fd, offset);
	if (error == 0)
		error = lm_mapping_place(mapping, &known,
					 shared ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE);
	if (error == 0)
		error = lm_mapping_advise(mapping, &known);
	if (error != 0) {
		lm_mapping_free(mapping);
		return error;
	}
	*ret_mapping = mapping;
	return 0;
}

/* Only flags and name of an adopted mapping's options count. */
static int adopt_options(const struct lazymem_mapping_options *options, size_t length,
			 size_t page_size, struct lazymem_mapping_options *ret_known)
{
	struct lazymem_mapping_options counting;
	const int error = lm_options_copy(options, &counting, sizeof(counting),
					  "struct lazymem_mapping_options");

	if (error != 0)
		return error;
	counting.size = sizeof(counting);
	counting.protection = 0;
	counting.alignment = 0;
	return lm_mapping_options(&counting, length, page_size, ret_known);
}

/* Is the whole range mapped? MS_ASYNC walks the mappings and does nothing else. */
static int check_host(const void *host, size_t length, size_t page_size)
{
	if (host == NULL || !lm_is_aligned((uintptr_t)host, page_size))
		return lm_error(-EINVAL, "host address %p is no positive multiple of %zu bytes",
				host, page_size);
	if (msync((void *)(uintptr_t)host, length, MS_ASYNC) != 0)
		return lm_error_errno(-EFAULT, "host memory [%p+0x%zx] is not all mapped", host,
				      length);
	return 0;
}

int lazymem_mapping_adopt(void *host, size_t length, int fd, uint64_t fd_offset,
			  const struct lazymem_mapping_options *options,
			  struct lazymem_mapping **ret_mapping)
{
	struct file_facts facts = {.source = LM_SOURCE_ANONYMOUS, .page_size = lm_base_page_size()};
	struct lazymem_mapping_options known = {0};
	struct lazymem_mapping *mapping = NULL;
	int error = fd >= 0 ? examine(fd, &facts) : 0;

	if (error == 0)
		error = adopt_options(options, length, facts.page_size, &known);
	if (error == 0)
		error = lm_mapping_allocate(LAZYMEM_MAPPING_ADOPTED, facts.source, length,
					    facts.page_size,
					    known.name != NULL ? known.name : "adopted", &mapping);
	if (error != 0)
		return error;
	error = check_host(host, length, facts.page_size);
	if (error == 0 && fd >= 0)
		error = check_range(fd, &facts, fd_offset, length);
	if (error == 0 && fd >= 0)
		error = keep_descriptor(mapping, fd, fd_offset);
	mapping->host = host;
	mapping->protection = known.protection;
	if (error == 0)
		error = lm_mapping_advise(mapping, &known);
	if (error != 0) {
		lm_mapping_free(mapping);
		return error;
	}
	*ret_mapping = mapping;
	return 0;
}
