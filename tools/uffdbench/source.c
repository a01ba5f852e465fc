/* SPDX-License-Identifier: MIT
 *
 * The proof is mincore(2) over a shared mapping of the file. The kernel tells
 * the truth only to whoever owns the file or may write to it; to anybody else
 * every page seems to be there.
 */
#include "source.h"
#include "complain.h"
#include "pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DROP_CACHES "/proc/sys/vm/drop_caches"
#define READ_BYTES (1024u * 1024)

/* Pages that other readers of the file system bring in by the way. */
#define COLD_LIMIT(pages) ((pages) / 1000)
#define COLD_ATTEMPTS 5

const char *source_name(enum source source)
{
	return source == SOURCE_COLD ? "cold" : "cached";
}

uint64_t source_pages(const struct source_file *file)
{
	return (file->length + PAGE_BYTES - 1) / PAGE_BYTES;
}

static bool lives_in_memory(int fd)
{
	struct statfs system;

	if (fstatfs(fd, &system) != 0)
		return false;
	return system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC ||
	       system.f_type == HUGETLBFS_MAGIC;
}

static bool residency_is_told(int fd)
{
	struct stat status;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return (fstat(fd, &status) == 0 && status.st_uid == geteuid()) ||
	       faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0;
}

int source_check(const struct source_file *file, enum source source)
{
	if (source == SOURCE_COLD && lives_in_memory(file->fd)) {
		complain("%s is on a file system that lives in memory, so it cannot be "
			 "cold: choose another --directory",
			 file->name);
		return -1;
	}
	if (!residency_is_told(file->fd)) {
		complain("%s: the kernel tells only its owner, or who may write to it, which of "
			 "its pages are cached: nothing could be proved",
			 file->name);
		return -1;
	}
	return 0;
}

static int count_resident(const struct source_file *file, uint64_t *ret_resident)
{
	size_t pages = source_pages(file);
	unsigned char *flags = malloc(pages);
	void *mapping = mmap(NULL, file->length, PROT_READ, MAP_SHARED, file->fd, 0);
	uint64_t resident = 0;
	int result = -1;

	if (flags != NULL && mapping != MAP_FAILED && mincore(mapping, file->length, flags) == 0) {
		for (size_t i = 0; i < pages; i++)
			resident += flags[i] & 1u;
		*ret_resident = resident;
		result = 0;
	} else {
		complain("%s: cannot ask which pages are cached: %s", file->name, strerror(errno));
	}
	if (mapping != MAP_FAILED)
		munmap(mapping, file->length);
	free(flags);
	return result;
}

static int read_through(const struct source_file *file)
{
	unsigned char *buffer = malloc(READ_BYTES);
	uint64_t at = 0;

	while (buffer != NULL && at < file->length) {
		ssize_t count = pread(file->fd, buffer, READ_BYTES, (off_t)at);

		if (count <= 0)
			break;
		at += (uint64_t)count;
	}
	free(buffer);
	if (at >= file->length)
		return 0;
	complain("%s: cannot read at %llu", file->name, (unsigned long long)at);
	return -1;
}

/* Only root may, and a container's root may not. */
static void drop_all_caches(void)
{
	int fd = open(DROP_CACHES, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1\n", 2) != 2)
		errno = 0;
	close(fd);
}

static int drop(const struct source_file *file)
{
	uint64_t resident = 0;

	for (int attempt = 0; attempt < COLD_ATTEMPTS; attempt++) {
		fsync(file->fd);
		posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
		drop_all_caches();
		if (count_resident(file, &resident) != 0)
			return -1;
		if (resident <= COLD_LIMIT(source_pages(file)))
			return 0;
	}
	return 0;
}

int source_bring(const struct source_file *file, enum source source)
{
	uint64_t resident;

	if (source == SOURCE_COLD)
		return drop(file);
	if (count_resident(file, &resident) != 0)
		return -1;
	return resident == source_pages(file) ? 0 : read_through(file);
}

int source_prove(const struct source_file *file, enum source source, uint64_t *ret_resident,
		 bool *ret_proved)
{
	uint64_t pages = source_pages(file);
	uint64_t resident;

	if (count_resident(file, &resident) != 0)
		return -1;
	*ret_resident = resident;
	*ret_proved = source == SOURCE_COLD ? resident <= COLD_LIMIT(pages) : resident == pages;
	return 0;
}
