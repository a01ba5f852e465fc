/* SPDX-License-Identifier: MIT */
#include "scratch.h"
#include "complain.h"
#include "interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int write_all(int fd, const void *bytes, uint64_t length, uint64_t offset, const char *name)
{
	const unsigned char *next = bytes;

	while (length > 0) {
		ssize_t count = pwrite(fd, next, length, (off_t)offset);

		if (count < 0 && errno == EINTR && !interrupt_came())
			continue;
		if (count < 0) {
			complain("cannot write to %s: %s", name, strerror(errno));
			return -1;
		}
		next += count;
		offset += (uint64_t)count;
		length -= (uint64_t)count;
	}
	return 0;
}

int scratch_open(const char *directory)
{
	char *path;
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
		complain("cannot make a file in %s: %s", directory, strerror(errno));
		return -1;
	}
	/* A file system that knows no nameless files. */
	if (asprintf(&path, "%s/uffdbench.XXXXXX", directory) < 0)
		return -1;
	fd = mkostemp(path, O_CLOEXEC);
	if (fd < 0)
		complain("cannot make a file in %s: %s", directory, strerror(errno));
	else
		unlink(path);
	free(path);
	return fd;
}

struct scratch_path scratch_path(int fd)
{
	struct scratch_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

/* In a directory of its own, so that whatever else `write` makes there goes
 * unseen by others. */
static int write_in(const char *own_directory, int (*write)(void *context, const char *path),
		    void *context)
{
	char *path;
	int fd = -1;

	if (asprintf(&path, "%s/file", own_directory) < 0)
		return -1;
	if (write(context, path) == 0) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			complain("cannot open %s: %s", path, strerror(errno));
	}
	unlink(path);
	free(path);
	return fd;
}

int scratch_write(const char *directory, int (*write)(void *context, const char *path),
		  void *context)
{
	char *own_directory;
	int fd = -1;

	if (asprintf(&own_directory, "%s/uffdbench.XXXXXX", directory) < 0)
		return -1;
	interrupt_defer();
	if (mkdtemp(own_directory) != NULL) {
		fd = write_in(own_directory, write, context);
		rmdir(own_directory);
	} else {
		complain("cannot make a directory in %s: %s", directory, strerror(errno));
	}
	free(own_directory);
	interrupt_deliver();
	return fd;
}
