/* SPDX-License-Identifier: MIT
 *
 * The files that the program maps. A page of theirs that is there is taken to be
 * restored already, so they begin empty: tmpfs and hugetlbfs count the pages
 * that a file has as its blocks. They are made last of all, when nothing else
 * can be refused, and what was made is removed when one of them is refused.
 */
#include "complain.h"
#include "format.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* One file, open. */
struct memory_file {
	const char *path;
	int fd;
	bool is_huge;
	uint64_t page_size;
	uint64_t free_bytes;  /* of the file system */
	uint64_t total_bytes; /* 0: it has no limit */
	struct stat stat;
};

static int open_file(struct run_file *file, bool create)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	int fd = -1;

	if (create) {
		fd = open(file->path, flags | O_CREAT | O_EXCL, 0600);
		file->made = fd >= 0;
	}
	if (fd < 0 && (!create || errno == EEXIST))
		fd = open(file->path, flags);
	if (fd < 0)
		complain("%s: %s%s", file->path, strerror(errno),
			 errno == ENOENT && !create ? "; --create makes it" : "");
	return fd;
}

/* Only there can pages be put behind the back of a mapping. */
static int check_file_system(struct memory_file *file)
{
	struct statfs status;

	if (fstat(file->fd, &file->stat) != 0 || fstatfs(file->fd, &status) != 0) {
		complain("%s: %s", file->path, strerror(errno));
		return -1;
	}
	if (!S_ISREG(file->stat.st_mode)) {
		complain("%s: is no regular file", file->path);
		return -1;
	}
	file->is_huge = (unsigned long)status.f_type == HUGETLBFS_MAGIC;
	if (!file->is_huge && (unsigned long)status.f_type != TMPFS_MAGIC) {
		complain("%s: is on neither tmpfs nor hugetlbfs; /dev/shm is a tmpfs", file->path);
		return -1;
	}
	file->page_size =
		file->is_huge ? (uint64_t)status.f_bsize : (uint64_t)sysconf(_SC_PAGESIZE);
	file->free_bytes = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
	file->total_bytes = (uint64_t)status.f_blocks * (uint64_t)status.f_bsize;
	return 0;
}

/* ---- length and pages -------------------------------------------------------------- */

/* A file that somebody else may write is the memory of a program that runs. Where
 * there are no leases that cannot be known. */
static int check_unused(const struct memory_file *file)
{
	if (fcntl(file->fd, F_SETLEASE, F_WRLCK) == 0) {
		fcntl(file->fd, F_SETLEASE, F_UNLCK);
		return 0;
	}
	if (errno != EAGAIN)
		return 0;
	complain("%s: is in use by another process, so it is not emptied", file->path);
	return -1;
}

/* Before the run that was started first has loaded a page, the file looks empty. */
static int check_not_served(const struct memory_file *file)
{
	if (!run_is_locked_by_run(file->fd))
		return 0;
	complain("%s: is served by another lazymem run", file->path);
	return -1;
}

static int set_length(const struct memory_file *file, uint64_t length)
{
	if (check_unused(file) != 0)
		return -1;
	if (ftruncate(file->fd, 0) == 0 && ftruncate(file->fd, (off_t)length) == 0)
		return 0;
	complain("%s: cannot be made %" PRIu64 " bytes long: %s", file->path, length,
		 strerror(errno));
	return -1;
}

static int check_length(const struct memory_file *file, const char *image, uint64_t image_length,
			uint64_t length)
{
	if ((uint64_t)file->stat.st_size != length) {
		complain("%s: has %jd bytes, and the image %s has %" PRIu64
			 ", so it must have %" PRIu64,
			 file->path, (intmax_t)file->stat.st_size, image, image_length, length);
		return -1;
	}
	if (file->stat.st_blocks != 0) {
		complain("%s: has %jd bytes of memory already; it must be empty (--create empties "
			 "it)",
			 file->path, (intmax_t)file->stat.st_blocks * 512);
		return -1;
	}
	return 0;
}

/* A counter of the pool of pages of this size; 0 where there is none. */
static uint64_t pool_counter(uint64_t page_size, const char *name)
{
	char path[128];
	uint64_t value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%" PRIu64 "kB/%s",
		 page_size / 1024, name);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	if (fscanf(file, "%" SCNu64, &value) != 1)
		value = 0;
	fclose(file);
	return value;
}

/* Pages that a mapping can still reserve: the free ones that nobody has
 * reserved, and those that the pool may grow by. */
static uint64_t pool_pages(uint64_t page_size)
{
	const uint64_t free_pages = pool_counter(page_size, "free_hugepages");
	const uint64_t reserved = pool_counter(page_size, "resv_hugepages");
	const uint64_t overcommit = pool_counter(page_size, "nr_overcommit_hugepages");
	const uint64_t surplus = pool_counter(page_size, "surplus_hugepages");

	return (free_pages > reserved ? free_pages - reserved : 0) +
	       (overcommit > surplus ? overcommit - surplus : 0);
}

/* `taken` bytes of the pool are for files that were looked at before. */
static int check_pool(const struct memory_file *file, uint64_t length, uint64_t taken)
{
	uint64_t room = pool_pages(file->page_size) * file->page_size;

	if (file->total_bytes != 0 && file->free_bytes < room)
		room = file->free_bytes;
	if (room >= taken && room - taken >= length)
		return 0;
	complain("%s: needs %" PRIu64 " pages of %s, and %" PRIu64
		 " are free (see vm.nr_hugepages, and the size of the mount)",
		 file->path, length / file->page_size, format_bytes((double)file->page_size).text,
		 (room > taken ? room - taken : 0) / file->page_size);
	return -1;
}

/* A program need not touch all of its memory, so this is no refusal. */
static void warn_of_small_tmpfs(const struct memory_file *file, uint64_t length)
{
	if (file->total_bytes != 0 && file->free_bytes < length)
		complain("%s: warning: its file system has room for %s, and the memory is %s; a "
			 "fault that finds no room ends in SIGBUS",
			 file->path, format_bytes((double)file->free_bytes).text,
			 format_bytes((double)length).text);
}

/* ---- all of them ------------------------------------------------------------------ */

static int round_up(uint64_t length, uint64_t page_size, uint64_t *ret_rounded)
{
	if (length > (uint64_t)INT64_MAX - page_size)
		return -1;
	*ret_rounded = (length + page_size - 1) & ~(page_size - 1);
	return 0;
}

static uint64_t bytes_of_same_pool(const struct run_memory *memories, size_t index)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < index; i++)
		bytes +=
			memories[i].page_size == memories[index].page_size ? memories[i].length : 0;
	return bytes;
}

static int check_distinct(const struct run_memory *memories, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (memories[i].device != memories[index].device ||
		    memories[i].inode != memories[index].inode)
			continue;
		complain("%s: is the same file as %s, and has two images", memories[index].path,
			 memories[i].path);
		return -1;
	}
	return 0;
}

static int prepare_open_file(const struct run_request *request, size_t index, uint64_t image_length,
			     struct memory_file *file, struct run_memory *memories)
{
	struct run_memory *memory = &memories[index];
	uint64_t length;

	if (check_file_system(file) != 0)
		return -1;
	*memory = (struct run_memory){.path = file->path,
				      .image = request->files[index].image,
				      .device = file->stat.st_dev,
				      .inode = file->stat.st_ino,
				      .page_size = file->page_size};
	if (check_distinct(memories, index) != 0)
		return -1;
	if (round_up(image_length, file->page_size, &length) != 0) {
		complain("%s: %" PRIu64 " bytes are too many for a memory", memory->image,
			 image_length);
		return -1;
	}
	memory->length = length;
	if (check_not_served(file) != 0)
		return -1;
	if (request->create && set_length(file, length) != 0)
		return -1;
	if (request->create && check_file_system(file) != 0)
		return -1;
	if (check_length(file, memory->image, image_length, length) != 0)
		return -1;
	if (file->is_huge)
		return check_pool(file, length, bytes_of_same_pool(memories, index));
	warn_of_small_tmpfs(file, length);
	return 0;
}

static int prepare_file(struct run_request *request, size_t index, uint64_t image_length,
			struct run_memory *memories)
{
	struct memory_file file = {.path = request->files[index].path};
	int result;

	file.fd = open_file(&request->files[index], request->create);
	if (file.fd < 0)
		return -1;
	result = prepare_open_file(request, index, image_length, &file, memories);
	close(file.fd);
	return result;
}

int run_prepare_files(struct run_request *request, const uint64_t *lengths,
		      struct run_memory *memories)
{
	for (size_t i = 0; i < request->file_count; i++) {
		if (prepare_file(request, i, lengths[i], memories) == 0)
			continue;
		for (size_t made = 0; made <= i; made++) {
			if (request->files[made].made)
				unlink(request->files[made].path);
		}
		return EXIT_RUN_FAILED;
	}
	return 0;
}
