/* SPDX-License-Identifier: MIT
 *
 * trace_file.c - a trace to and from its file.
 *
 * A reader must find the old file or the whole new one. So the bytes go to a
 * temporary name in the same directory, are made durable there, and take the
 * name by rename; then the directory is made durable. Until the rename a
 * failure removes the temporary file and leaves the old one as it was. Names
 * are taken relative to one open directory, so that all steps mean the same
 * one.
 */
#include "core/error.h"
#include "core/trace.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TRIES = 100 };

/* Where a file is: its directory, open, and its name in there. */
struct place {
	const char *path; /* for messages */
	const char *name;
	int directory;
};

static int failed(const char *path, const char *step)
{
	return lm_error_errno(-errno, "trace %s: %s", path, step);
}

/* The message there is, with the file before it. */
static int name_file(const char *path, int error)
{
	return lm_error(error, "%s: %s", path, lazymem_error_message());
}

static int open_place(const char *path, struct place *ret_place)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;
	char *directory;
	int fd;

	if (*name == '\0')
		return lm_error(-EISDIR, "trace %s: the path names no file", path);
	directory = slash != NULL ? strndup(path, (size_t)(name - path)) : strdup(".");
	if (directory == NULL)
		return lm_error(-ENOMEM, "trace %s: out of memory", path);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(directory);
	if (fd < 0)
		return failed(path, "opening its directory");
	*ret_place = (struct place){path, name, fd};
	return 0;
}

/* A new file under a name that nobody has, with the permissions of any new file. */
static int create_temporary(const struct place *place, char *name, size_t name_size, int *ret_fd)
{
	static atomic_uint last;
	int fd = -1;

	for (int i = 0; fd < 0 && i < NAME_TRIES; i++) {
		snprintf(name, name_size, ".lazymem-trace.%ld.%u", (long)getpid(),
			 atomic_fetch_add(&last, 1));
		fd = openat(place->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return failed(place->path, "creating a temporary file beside it");
	*ret_fd = fd;
	return 0;
}

static int write_all(const char *path, int fd, const char *bytes, size_t size)
{
	while (size > 0) {
		const ssize_t written = write(fd, bytes, size);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return failed(path, "writing");
		bytes += written;
		size -= (size_t)written;
	}
	return 0;
}

/* Write, make durable and close. */
static int fill(const char *path, int fd, const void *bytes, size_t size)
{
	int error = write_all(path, fd, bytes, size);

	if (error == 0 && fsync(fd) != 0)
		error = failed(path, "fsync");
	if (close(fd) != 0 && error == 0)
		error = failed(path, "closing");
	return error;
}

static int replace(const struct place *place, const void *bytes, size_t size)
{
	char temporary[64];
	int fd = -1;
	int error = create_temporary(place, temporary, sizeof(temporary), &fd);

	if (error != 0)
		return error;
	error = fill(place->path, fd, bytes, size);
	if (error == 0 && renameat(place->directory, temporary, place->directory, place->name) != 0)
		error = failed(place->path, "renaming a temporary file to it");
	if (error != 0) {
		unlinkat(place->directory, temporary, 0);
		return error;
	}
	/* EINVAL: a file system that has no fsync of directories */
	if (fsync(place->directory) != 0 && errno != EINVAL)
		return failed(place->path, "fsync of its directory");
	return 0;
}

int lazymem_trace_save(const struct lazymem_trace *trace, const char *path)
{
	struct place place = {0};
	void *bytes = NULL;
	size_t size = 0;
	int error = open_place(path, &place);

	if (error != 0)
		return error;
	error = lm_trace_serialise(trace, &bytes, &size);
	if (error != 0)
		error = name_file(path, error);
	else
		error = replace(&place, bytes, size);
	free(bytes);
	close(place.directory);
	return error;
}

static int read_all(const char *path, int fd, char *bytes, size_t size)
{
	for (size_t used = 0; used < size;) {
		const ssize_t delivered = pread(fd, bytes + used, size - used, (off_t)used);

		if (delivered < 0 && errno == EINTR)
			continue;
		if (delivered < 0)
			return failed(path, "reading");
		if (delivered == 0)
			return lm_error(-EBADMSG, "trace %s: it ends after %zu of %zu bytes", path,
					used, size);
		used += (size_t)delivered;
	}
	return 0;
}

/* Compare the size of the file with what its header says. */
static int find_size(const char *path, int fd, size_t *ret_size)
{
	char header[LM_TRACE_HEADER_SIZE];
	struct stat status;
	uint64_t expected = 0;
	int error;

	if (fstat(fd, &status) != 0)
		return failed(path, "fstat");
	if (S_ISDIR(status.st_mode))
		return lm_error(-EISDIR, "trace %s: it is a directory", path);
	if (!S_ISREG(status.st_mode))
		return lm_error(-EBADMSG, "trace %s: it is no regular file", path);
	error = read_all(path, fd, header, sizeof(header));
	if (error != 0)
		return error;
	error = lm_trace_parse_header(header, &expected);
	if (error != 0)
		return name_file(path, error);
	if (expected != (uint64_t)status.st_size)
		return lm_error(-EBADMSG,
				"trace %s: its header speaks of %" PRIu64 " bytes, it has %" PRIu64,
				path, expected, (uint64_t)status.st_size);
	*ret_size = (size_t)expected;
	return 0;
}

static int load(const char *path, int fd, struct lazymem_trace **ret_trace)
{
	size_t size = 0;
	char *bytes;
	int error = find_size(path, fd, &size);

	if (error != 0)
		return error;
	bytes = malloc(size);
	if (bytes == NULL)
		return lm_error(-ENOMEM, "trace %s: no memory for its %zu bytes", path, size);
	error = read_all(path, fd, bytes, size);
	if (error == 0) {
		error = lm_trace_parse(bytes, size, ret_trace);
		if (error != 0)
			error = name_file(path, error);
	}
	free(bytes);
	return error;
}

int lazymem_trace_load(const char *path, struct lazymem_trace **ret_trace)
{
	/* O_NONBLOCK: a pipe must not hold up what will refuse it */
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int error;

	if (fd < 0)
		return failed(path, "opening");
	error = load(path, fd, ret_trace);
	close(fd);
	return error;
}
