/* SPDX-License-Identifier: MIT
 *
 * replace_file.c - a new file in place of an old one, or the old one.
 *
 * A reader must find the old file or the whole new one, whenever the machine
 * stops. So the order of the steps is fixed: every byte under a temporary
 * name, fsync, rename, fsync of the directory. Rename before fsync could leave
 * a name whose bytes are not there. Until the rename a failure removes the
 * temporary file and leaves the old one as it was. Names are taken relative to
 * one open directory, so that all steps mean the same one.
 *
 * The new file may be read by whom the old one could be, and nobody else at
 * any moment: the memory of a guest holds its secrets.
 */
#include "core/replace_file.h"

#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_TRIES = 100 };

static int failed(const struct lm_replacement *replacement, const char *step)
{
	return lm_error_errno(-errno, "%s %s: %s", replacement->what, replacement->path, step);
}

/* Find the name in the path, and open the directory that it is in. */
static int open_directory(struct lm_replacement *replacement)
{
	const char *path = replacement->path;
	const char *slash = strrchr(path, '/');
	char *directory;

	replacement->name = slash != NULL ? slash + 1 : path;
	if (*replacement->name == '\0')
		return lm_error(-EISDIR, "%s %s: the path names no file", replacement->what, path);
	directory = slash != NULL ? strndup(path, (size_t)(replacement->name - path)) : strdup(".");
	if (directory == NULL)
		return lm_error(-ENOMEM, "%s %s: out of memory", replacement->what, path);
	replacement->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(directory);
	return replacement->directory >= 0 ? 0 : failed(replacement, "opening its directory");
}

/* Owner and permissions of the file that is replaced. Where the owner or the
 * group cannot be given away, the new one gets no rights that were the old one's. */
static void take_after(int fd, const struct stat *old)
{
	mode_t mode = old->st_mode & 0777;

	if (fchown(fd, old->st_uid, old->st_gid) != 0 && fchown(fd, (uid_t)-1, old->st_gid) != 0)
		mode &= ~(mode_t)070;
	/* Best effort: it was made with no more than these. */
	(void)fchmod(fd, mode);
}

/* A new file under a name that nobody has, with the permissions of the old one
 * or else of any new file. */
static int create_temporary(struct lm_replacement *replacement, const struct stat *old)
{
	static atomic_uint last;
	const mode_t mode = old != NULL ? old->st_mode & 0700 : 0666;

	replacement->fd = -1;
	for (int i = 0; replacement->fd < 0 && i < NAME_TRIES; i++) {
		snprintf(replacement->temporary, sizeof(replacement->temporary),
			 ".lazymem-%s.%ld.%u", replacement->what, (long)getpid(),
			 atomic_fetch_add(&last, 1));
		replacement->fd = openat(replacement->directory, replacement->temporary,
					 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
		if (replacement->fd < 0 && errno != EEXIST)
			break;
	}
	if (replacement->fd < 0)
		return failed(replacement, "creating a temporary file beside it");
	if (old != NULL)
		take_after(replacement->fd, old);
	return 0;
}

/* A rename takes the place of anything but a directory: a device too, and a
 * pipe that somebody else holds open. *ret_is_old: a regular file is there. */
static int check_place(const struct lm_replacement *replacement, struct stat *ret_old,
		       bool *ret_is_old)
{
	struct stat there;

	*ret_is_old = false;
	if (fstatat(replacement->directory, replacement->name, &there, AT_SYMLINK_NOFOLLOW) != 0)
		return 0;
	*ret_old = there;
	*ret_is_old = S_ISREG(there.st_mode);
	if (S_ISDIR(there.st_mode))
		return lm_error(-EISDIR, "%s %s: a directory is there", replacement->what,
				replacement->path);
	if (!S_ISREG(there.st_mode) && !S_ISLNK(there.st_mode))
		return lm_error(-EINVAL, "%s %s: what is there is no regular file",
				replacement->what, replacement->path);
	return 0;
}

int lm_replace_begin(const char *what, const char *path, struct lm_replacement *ret_replacement)
{
	struct lm_replacement replacement = {.what = what, .path = path};
	struct stat old;
	bool is_old;
	int error = open_directory(&replacement);

	if (error != 0)
		return error;
	error = check_place(&replacement, &old, &is_old);
	if (error == 0)
		error = create_temporary(&replacement, is_old ? &old : NULL);
	if (error != 0) {
		close(replacement.directory);
		return error;
	}
	*ret_replacement = replacement;
	return 0;
}

int lm_replace_write(struct lm_replacement *replacement, const void *bytes, size_t length,
		     uint64_t offset)
{
	const char *next = bytes;

	while (length > 0) {
		const ssize_t written = pwrite(replacement->fd, next, length, (off_t)offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written == 0)
			errno = EIO; /* no progress, and no reason given */
		if (written <= 0)
			return failed(replacement, "writing");
		next += written;
		offset += (uint64_t)written;
		length -= (size_t)written;
	}
	return 0;
}

static int make_durable(int fd)
{
	int result;

	do
		result = fsync(fd);
	while (result != 0 && errno == EINTR);
	return result;
}

/* Every byte is on the disk, and the descriptor is closed in any case. */
static int flush(struct lm_replacement *replacement)
{
	int error = 0;

	if (make_durable(replacement->fd) != 0)
		error = failed(replacement, "fsync");
	/* EINTR: it is closed all the same, and the bytes are durable already */
	if (close(replacement->fd) != 0 && errno != EINTR && error == 0)
		error = failed(replacement, "closing");
	replacement->fd = -1;
	return error;
}

static int flush_directory(struct lm_replacement *replacement)
{
	int error = 0;

	/* EINVAL: a file system that has no fsync of directories */
	if (make_durable(replacement->directory) != 0 && errno != EINVAL)
		error = failed(replacement, "fsync of its directory");
	close(replacement->directory);
	return error;
}

int lm_replace_commit(struct lm_replacement *replacement)
{
	int error = flush(replacement);

	if (error == 0 && renameat(replacement->directory, replacement->temporary,
				   replacement->directory, replacement->name) != 0)
		error = failed(replacement, "renaming a temporary file to it");
	if (error != 0) {
		lm_replace_abandon(replacement);
		return error;
	}
	return flush_directory(replacement);
}

void lm_replace_abandon(struct lm_replacement *replacement)
{
	unlinkat(replacement->directory, replacement->temporary, 0);
	if (replacement->fd >= 0)
		close(replacement->fd);
	close(replacement->directory);
}
