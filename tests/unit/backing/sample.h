/* SPDX-License-Identifier: MIT
 *
 * sample.h - a directory of its own for the files of a test, and bytes that
 * tell where they belong: no two pages are alike and none of them holds a zero.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline unsigned char sample_byte(uint64_t offset)
{
	return (unsigned char)(1 + (offset + offset / 4096 * 13) % 255);
}

static inline void sample_fill(unsigned char *bytes, uint64_t offset, size_t length)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = sample_byte(offset + i);
}

static inline bool sample_matches(const unsigned char *bytes, uint64_t offset, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i] != sample_byte(offset + i))
			return false;
	return true;
}

/* A new directory under TMPDIR or the current one; free it with sample_remove_directory. */
static inline char *sample_make_directory(void)
{
	const char *parent = getenv("TMPDIR");
	char *path;

	if (asprintf(&path, "%s/lazymem-test-XXXXXX", parent != NULL ? parent : ".") < 0)
		abort();
	if (mkdtemp(path) == NULL)
		abort();
	return path;
}

static inline void sample_remove_directory(char *path)
{
	DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory != NULL && (entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(directory), entry->d_name, 0);
	if (directory != NULL)
		closedir(directory);
	rmdir(path);
	free(path);
}

/* Write sample bytes at [start, start + length) of a file, which is made if need be. */
static inline void sample_write(const char *path, uint64_t start, size_t length)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	unsigned char *bytes = malloc(length);

	if (fd < 0 || bytes == NULL)
		abort();
	sample_fill(bytes, start, length);
	if (pwrite(fd, bytes, length, (off_t)start) != (ssize_t)length)
		abort();
	free(bytes);
	close(fd);
}

#endif
