/* SPDX-License-Identifier: MIT */
#include "image.h"
#include "complain.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (1024u * 1024)

/* How many pages of a given file are compared before it is trusted to be an
 * image for the layout. */
#define SAMPLED_PAGES 256u

static volatile sig_atomic_t caught_signal;

int write_all(int fd, const void *bytes, uint64_t length, uint64_t offset, const char *name)
{
	const unsigned char *next = bytes;

	while (length > 0) {
		ssize_t count = pwrite(fd, next, length, (off_t)offset);

		if (count < 0 && errno == EINTR && caught_signal == 0)
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

/* Write the data and the written zeros of one chunk, and leave its holes. */
static int write_chunk(int fd, enum pattern_layout layout, uint64_t start, uint64_t length,
		       unsigned char *buffer, const char *name)
{
	uint64_t from = 0;

	for (uint64_t at = 0; at < length; at += PAGE_BYTES) {
		pattern_fill(layout, start + at, (uint64_t *)(buffer + at));
		if (pattern_kind(layout, start + at) != PATTERN_KIND_HOLE)
			continue;
		if (write_all(fd, buffer + from, at - from, start + from, name) != 0)
			return -1;
		from = at + PAGE_BYTES;
	}
	return from < length ? write_all(fd, buffer + from, length - from, start + from, name) : 0;
}

static int write_chunks(int fd, uint64_t length, enum pattern_layout layout, unsigned char *buffer,
			const char *name)
{
	for (uint64_t start = 0; start < length && caught_signal == 0; start += CHUNK_BYTES) {
		uint64_t left = length - start;

		progress_show("making the image: %llu %%",
			      (unsigned long long)(start * 100 / length));
		if (write_chunk(fd, layout, start, left < CHUNK_BYTES ? left : CHUNK_BYTES, buffer,
				name) != 0)
			return -1;
	}
	return 0;
}

/* The length comes last: an image that was never finished is too short. */
static int write_image(int fd, uint64_t length, enum pattern_layout layout, const char *name)
{
	unsigned char *buffer = aligned_alloc(PAGE_BYTES, CHUNK_BYTES);
	int result;

	if (buffer == NULL) {
		complain("no memory to make an image with");
		return -1;
	}
	result = write_chunks(fd, length, layout, buffer, name);
	free(buffer);
	progress_clear();
	if (result == 0 && caught_signal == 0 &&
	    (ftruncate(fd, (off_t)length) != 0 || fsync(fd) != 0)) {
		complain("cannot write to %s: %s", name, strerror(errno));
		result = -1;
	}
	return result;
}

int image_create(const char *directory, uint64_t length, enum pattern_layout layout,
		 struct image *ret_image)
{
	struct image image = {.fd = -1, .name = directory, .length = length, .layout = layout};

	image.fd = scratch_open(directory);
	if (image.fd < 0)
		return -1;
	if (asprintf(&image.path, "/proc/self/fd/%d", image.fd) < 0)
		image.path = NULL;
	if (image.path == NULL || write_image(image.fd, length, layout, directory) != 0) {
		image_close(&image);
		return -1;
	}
	*ret_image = image;
	return 0;
}

static int check_file(const struct image *image)
{
	struct stat status;

	if (fstat(image->fd, &status) != 0) {
		complain("image %s: %s", image->name, strerror(errno));
		return -1;
	}
	if (!S_ISREG(status.st_mode)) {
		complain("image %s is %s", image->name,
			 S_ISDIR(status.st_mode) ? "a directory" : "no regular file");
		return -1;
	}
	if (status.st_size == 0) {
		complain("image %s is empty", image->name);
		return -1;
	}
	if ((uint64_t)status.st_size < image->length) {
		complain("image %s is too short: it has %llu bytes, the workload needs %llu "
			 "(see --memory)",
			 image->name, (unsigned long long)status.st_size,
			 (unsigned long long)image->length);
		return -1;
	}
	return 0;
}

static int check_pages(const struct image *image)
{
	uint64_t words[PAGE_WORDS];
	uint64_t pages = image->length / PAGE_BYTES;
	uint64_t step = pages / SAMPLED_PAGES + 1;

	for (uint64_t page = 0; page < pages; page += step) {
		uint64_t offset = page * PAGE_BYTES;

		if (pread(image->fd, words, sizeof(words), (off_t)offset) != sizeof(words)) {
			complain("image %s: cannot read at %llu", image->name,
				 (unsigned long long)offset);
			return -1;
		}
		if (!pattern_matches(image->layout, offset, words, false)) {
			complain("image %s was not made by --make-image for this workload: "
				 "the page at %llu has other content",
				 image->name, (unsigned long long)offset);
			return -1;
		}
	}
	return 0;
}

int image_open(const char *path, uint64_t length, enum pattern_layout layout,
	       struct image *ret_image)
{
	struct image image = {.name = path, .length = length, .layout = layout};

	image.fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (image.fd < 0) {
		complain("image %s: %s", path, strerror(errno));
		return -1;
	}
	image.path = strdup(path);
	if (image.path == NULL || check_file(&image) != 0 || check_pages(&image) != 0) {
		image_close(&image);
		return -1;
	}
	*ret_image = image;
	return 0;
}

void image_close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	free(image->path);
	image->fd = -1;
	image->path = NULL;
}

static void catch_signal(int number)
{
	caught_signal = number;
}

/* Remove what was made before the signal ends this process as it would have
 * without us. */
static void die_of(int number)
{
	signal(number, SIG_DFL);
	raise(number);
}

int image_make(const char *path, uint64_t length, enum pattern_layout layout)
{
	struct sigaction action = {.sa_handler = catch_signal};
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
	int result;

	if (fd < 0) {
		complain("cannot make image %s: %s", path, strerror(errno));
		return -1;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	result = write_image(fd, length, layout, path);
	if (close(fd) != 0 && result == 0) {
		complain("cannot write to %s: %s", path, strerror(errno));
		result = -1;
	}
	if (result != 0 || caught_signal != 0)
		unlink(path);
	if (caught_signal != 0)
		die_of(caught_signal);
	return result;
}
