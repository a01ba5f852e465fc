/* SPDX-License-Identifier: MIT */
#include "memories.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* After an errno value of the library's. */
static int refused(int error)
{
	complain("%s", lazymem_error_message());
	return -error;
}

/* No other run may serve the file: each has a board of its own. The lock is one for reading,
 * and only that of another run counts: the program may lock the whole file itself. */
static int lock_file(const struct run_memory *memory, int fd)
{
	struct flock lock = {.l_type = F_RDLCK, .l_start = RUN_LOCKED_BYTE, .l_len = 1};

	if (fcntl(fd, F_OFD_SETLK, &lock) != 0 && errno != EAGAIN && errno != EACCES) {
		complain("%s: cannot be locked: %s", memory->path, strerror(errno));
		return errno;
	}
	if (!run_is_locked_by_run(fd))
		return 0;
	complain("%s: is served by another lazymem run", memory->path);
	return EBUSY;
}

/* What the program maps has to be what was checked when it was started. */
static int open_file(const struct run_memory *memory, int *ret_fd)
{
	const int fd = open(memory->path, O_RDWR | O_CLOEXEC);
	struct stat stat;

	if (fd < 0 || fstat(fd, &stat) != 0) {
		const int error = errno;

		complain("%s: %s", memory->path, strerror(error));
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (stat.st_dev != memory->device || stat.st_ino != memory->inode ||
	    (uint64_t)stat.st_size < memory->length) {
		complain("%s: is not the file any more that it was when the program was started",
			 memory->path);
		close(fd);
		return ESTALE;
	}
	*ret_fd = fd;
	return 0;
}

static int open_locked(const struct run_memory *memory, int *ret_fd)
{
	const int error = open_file(memory, ret_fd);

	return error == 0 ? lock_file(memory, *ret_fd) : error;
}

static int map_anchor(const struct run_memory *memory, struct run_opened *opened)
{
	opened->anchor =
		mmap(NULL, memory->length, PROT_READ | PROT_WRITE, MAP_SHARED, opened->fd, 0);
	if (opened->anchor != MAP_FAILED)
		return 0;
	opened->anchor = NULL;
	complain("%s: mmap: %s", memory->path, strerror(errno));
	return errno;
}

static int open_image(const struct run_memory *memory, struct run_opened *opened)
{
	const struct source_request request = {.path = memory->image, .format = FORMAT_DETECT};

	return source_open(&request, &opened->source) == 0 ? 0 : EIO;
}

static int make_region(const struct run_memory *memory, uint64_t base, struct run_opened *opened)
{
	const lazymem_guest_address address = {base};
	struct lazymem_mapping *mapping = NULL;
	int error = lazymem_mapping_adopt(opened->anchor, memory->length, opened->fd, 0, NULL,
					  &mapping);

	if (error == 0)
		error = lazymem_region_create(mapping, address, opened->source.backing, 0,
					      &opened->region);
	lazymem_mapping_unref(mapping);
	return error == 0 ? 0 : refused(error);
}

static int open_one(const struct run_memory *memory, uint64_t base, struct run_opened *opened)
{
	int error = open_image(memory, opened);

	if (error == 0)
		error = open_locked(memory, &opened->fd);
	if (error == 0)
		error = map_anchor(memory, opened);
	if (error == 0)
		error = make_region(memory, base, opened);
	return error;
}

static int make_memory(const struct run_opened *opened, size_t count,
		       struct lazymem_memory **ret_memory)
{
	struct lazymem_region **regions = calloc(count, sizeof(*regions));
	int error;

	if (regions == NULL) {
		complain("no memory for %zu regions", count);
		return ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		regions[i] = opened[i].region;
	error = lazymem_memory_create(regions, count, ret_memory);
	free(regions);
	return error == 0 ? 0 : refused(error);
}

int run_memories_open(const struct run_settings *settings, struct run_opened **ret_opened,
		      struct lazymem_memory **ret_memory)
{
	struct run_opened *opened = calloc(settings->memory_count, sizeof(*opened));
	int error = 0;

	if (opened == NULL) {
		complain("no memory for %zu memories", settings->memory_count);
		return ENOMEM;
	}
	for (size_t i = 0; i < settings->memory_count; i++)
		opened[i].fd = -1;
	for (size_t i = 0; error == 0 && i < settings->memory_count; i++)
		error = open_one(&settings->memories[i], run_memory_base(settings, i), &opened[i]);
	if (error == 0)
		error = make_memory(opened, settings->memory_count, ret_memory);
	if (error == 0)
		*ret_opened = opened;
	else
		run_memories_close(settings, opened);
	return error;
}

void run_memories_close(const struct run_settings *settings, struct run_opened *opened)
{
	for (size_t i = 0; opened != NULL && i < settings->memory_count; i++) {
		lazymem_region_unref(opened[i].region);
		source_close(&opened[i].source);
		if (opened[i].anchor != NULL)
			munmap(opened[i].anchor, settings->memories[i].length);
		if (opened[i].fd >= 0)
			close(opened[i].fd);
	}
	free(opened);
}
