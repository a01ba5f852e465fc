/* SPDX-License-Identifier: MIT
 *
 * overlay_file.c - the file of an overlay: made, found, locked, and read.
 *
 * It is made whole under a temporary name, made durable, and gets its own by
 * link(2), which, unlike a rename, takes the place of nothing: of two who make it
 * at once one wins, and both open the same file. What is there already is never
 * taken for a beginning, also when it is empty.
 *
 * Whoever writes has a lock (flock) of the open file for itself, whoever reads
 * shares it. It ends with the process at the latest. So nobody finds the map in
 * the middle of a change.
 */
#include "backing/overlay_object.h"

#include "core/error.h"
#include "core/replace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTORS_AT_ONCE 128

/* The message of the call below, with the path in front. */
static int of_path(const char *path, int error)
{
	return lm_error(error, "overlay %s: %s", path, lazymem_error_message());
}

/* ---- making --------------------------------------------------------------- */

static int write_map(struct lm_replacement *replacement, const struct lm_overlay_header *header)
{
	static const uint64_t words[LM_OVERLAY_SECTOR_WORDS];
	const uint64_t sectors = lm_overlay_sectors(header->length);
	unsigned char bytes[SECTORS_AT_ONCE * LM_OVERLAY_SECTOR];
	int error = 0;

	for (uint64_t done = 0; error == 0 && done < sectors;) {
		size_t count = 0;

		for (; count < SECTORS_AT_ONCE && done + count < sectors; count++)
			lm_overlay_put_sector(header, done + count, words,
					      bytes + count * LM_OVERLAY_SECTOR);
		error = lm_replace_write(replacement, bytes, count * LM_OVERLAY_SECTOR,
					 LM_OVERLAY_HEADER + done * LM_OVERLAY_SECTOR);
		done += count;
	}
	return error;
}

static int write_all(struct lm_replacement *replacement, const struct lm_overlay_header *header)
{
	unsigned char bytes[LM_OVERLAY_HEADER];
	int error;

	if (ftruncate(replacement->fd, (off_t)lm_overlay_file_length(header->length)) != 0)
		return lm_error_errno(-errno, "overlay %s: cannot make it long enough",
				      replacement->path);
	error = write_map(replacement, header);
	if (error != 0)
		return error;
	lm_overlay_put_header(header, bytes);
	return lm_replace_write(replacement, bytes, sizeof(bytes), 0);
}

static int give_name(const struct lm_replacement *replacement)
{
	if (fsync(replacement->fd) != 0)
		return lm_error_errno(-errno, "overlay %s: cannot make it durable",
				      replacement->path);
	if (linkat(replacement->directory, replacement->temporary, replacement->directory,
		   replacement->name, 0) != 0)
		return errno == EEXIST ? 0
				       : lm_error_errno(-errno, "overlay %s: cannot give it a name",
							replacement->path);
	if (fsync(replacement->directory) != 0 && errno != EINVAL)
		return lm_error_errno(-errno, "overlay %s: cannot make its name durable",
				      replacement->path);
	return 0;
}

int lm_overlay_file_create(const char *path, const struct lm_overlay_header *header)
{
	struct lm_replacement replacement;
	int error = lm_replace_begin("overlay", path, &replacement);

	if (error != 0)
		return error;
	error = write_all(&replacement, header);
	if (error == 0)
		error = give_name(&replacement);
	lm_replace_abandon(&replacement); /* the temporary name */
	return error;
}

/* ---- finding -------------------------------------------------------------- */

static int read_all(int fd, void *bytes, size_t length, uint64_t offset)
{
	char *next = bytes;

	while (length != 0) {
		const ssize_t result = pread(fd, next, length, (off_t)offset);

		if (result < 0 && errno == EINTR)
			continue;
		if (result < 0)
			return lm_error_errno(-errno, "cannot read it");
		if (result == 0)
			return lm_error(-EBADMSG, "it is too short for an overlay");
		next += result;
		offset += (uint64_t)result;
		length -= (size_t)result;
	}
	return 0;
}

static int lock_file(int fd, bool is_writable)
{
	if (flock(fd, (is_writable ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return lm_error(-EBUSY, "it is open already");
	return lm_error_errno(-errno, "cannot lock it");
}

static int check_file(int fd, bool is_writable, struct lm_overlay_header *ret_header)
{
	unsigned char bytes[LM_OVERLAY_HEADER];
	struct stat status;
	int error;

	if (fstat(fd, &status) != 0)
		return lm_error_errno(-errno, "cannot look at it");
	if (S_ISDIR(status.st_mode))
		return lm_error(-EISDIR, "it is a directory");
	if (!S_ISREG(status.st_mode))
		return lm_error(-EINVAL, "it is no regular file");
	error = lock_file(fd, is_writable);
	if (error == 0)
		error = read_all(fd, bytes, sizeof(bytes), 0);
	if (error != 0)
		return error;
	return lm_overlay_parse_header(bytes, (uint64_t)status.st_size, ret_header);
}

int lm_overlay_file_open(const char *path, bool is_writable, int *ret_fd,
			 struct lm_overlay_header *ret_header)
{
	/* O_NONBLOCK: a pipe is refused, and not waited for */
	const int fd = open(path, (is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	int error;

	if (fd < 0)
		return lm_error_errno(-errno, "overlay %s: cannot open it", path);
	error = check_file(fd, is_writable, ret_header);
	if (error != 0) {
		close(fd);
		return of_path(path, error);
	}
	*ret_fd = fd;
	return 0;
}

static int load_sectors(int fd, struct lm_overlay_map *map, uint64_t first, size_t count)
{
	unsigned char bytes[SECTORS_AT_ONCE * LM_OVERLAY_SECTOR];
	uint64_t words[LM_OVERLAY_SECTOR_WORDS];
	int error = read_all(fd, bytes, count * LM_OVERLAY_SECTOR,
			     LM_OVERLAY_HEADER + first * LM_OVERLAY_SECTOR);

	for (size_t i = 0; error == 0 && i < count; i++) {
		error = lm_overlay_parse_sector(&map->header, first + i,
						bytes + i * LM_OVERLAY_SECTOR, words);
		if (error == 0)
			lm_overlay_map_load(map, first + i, words);
	}
	return error;
}

int lm_overlay_file_load(int fd, const char *path, struct lm_overlay_map *map)
{
	int error = 0;

	for (uint64_t done = 0; error == 0 && done < map->sectors; done += SECTORS_AT_ONCE) {
		const uint64_t left = map->sectors - done;

		error = load_sectors(fd, map, done,
				     left < SECTORS_AT_ONCE ? (size_t)left : SECTORS_AT_ONCE);
	}
	return error == 0 ? 0 : of_path(path, error);
}
