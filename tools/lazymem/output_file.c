/* SPDX-License-Identifier: MIT */
#include "output_file.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int complain_of(const char *path)
{
	complain("%s: %s", path, strerror(errno));
	return -1;
}

/* mkstemp makes files that nobody else may read; ours are as any other. */
static void set_mode(int fd, const char *path)
{
	const mode_t mask = umask(0);
	struct stat status;

	umask(mask);
	fchmod(fd, stat(path, &status) == 0 ? status.st_mode & 0777 : 0666 & ~mask);
}

int output_file_check(const char *path)
{
	struct stat status;

	if (stat(path, &status) != 0 || S_ISREG(status.st_mode))
		return 0;
	complain("%s: %s", path, S_ISDIR(status.st_mode) ? strerror(EISDIR) : "is no regular file");
	return -1;
}

int output_file_begin(const char *path, struct output_file *ret_file)
{
	*ret_file = (struct output_file){.path = path, .fd = -1};
	if (output_file_check(path) != 0)
		return -1;
	if (asprintf(&ret_file->temporary, "%s.XXXXXX", path) < 0) {
		ret_file->temporary = NULL;
		return complain_of(path);
	}
	ret_file->fd = mkostemp(ret_file->temporary, O_CLOEXEC);
	if (ret_file->fd < 0) {
		free(ret_file->temporary);
		ret_file->temporary = NULL;
		return complain_of(path);
	}
	set_mode(ret_file->fd, path);
	return 0;
}

int output_file_set_length(struct output_file *file, uint64_t length)
{
	if (length > INT64_MAX) {
		errno = EFBIG;
		return complain_of(file->path);
	}
	return ftruncate(file->fd, (off_t)length) == 0 ? 0 : complain_of(file->path);
}

int output_file_write(struct output_file *file, const void *bytes, size_t length, uint64_t offset)
{
	const char *next = bytes;

	while (length > 0) {
		const ssize_t written = pwrite(file->fd, next, length, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return complain_of(file->path);
		next += written;
		length -= (size_t)written;
		offset += (uint64_t)written;
	}
	return 0;
}

static int sync_directory(const char *path)
{
	char *copy = strdup(path);
	const int fd = copy != NULL ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	const int result = fd >= 0 ? fsync(fd) : -1;

	if (result != 0)
		complain_of(path);
	if (fd >= 0)
		close(fd);
	free(copy);
	return result;
}

int output_file_commit(struct output_file *file)
{
	if (fsync(file->fd) != 0 || rename(file->temporary, file->path) != 0)
		return complain_of(file->path);
	free(file->temporary);
	file->temporary = NULL;
	return sync_directory(file->path);
}

void output_file_abandon(struct output_file *file)
{
	if (file->temporary != NULL)
		unlink(file->temporary);
	free(file->temporary);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct output_file){.fd = -1};
}
