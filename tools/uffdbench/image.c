/* SPDX-License-Identifier: MIT */
#include "image.h"
#include "complain.h"
#include "interrupt.h"
#include "progress.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK_BYTES (1024u * 1024)

/* How many pages of a given file are compared before it is trusted to be an
 * image for the layout. */
#define SAMPLED_PAGES 256u

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
	for (uint64_t start = 0; start < length && !interrupt_came(); start += CHUNK_BYTES) {
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
	if (result == 0 && !interrupt_came() &&
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
	image.path = strdup(scratch_path(image.fd).text);
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

static int open_file(const char *path, struct image *image)
{
	image->name = path;
	image->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (image->fd < 0) {
		complain("image %s: %s", path, strerror(errno));
		return -1;
	}
	image->path = strdup(path);
	if (image->path != NULL && check_file(image) == 0)
		return 0;
	image_close(image);
	return -1;
}

int image_open(const char *path, uint64_t length, enum pattern_layout layout,
	       struct image *ret_image)
{
	struct image image = {.length = length, .layout = layout};

	if (open_file(path, &image) != 0)
		return -1;
	if (check_pages(&image) != 0) {
		image_close(&image);
		return -1;
	}
	*ret_image = image;
	return 0;
}

int image_open_given(const char *path, uint64_t length, struct image *ret_image)
{
	struct image image = {.length = length, .given = true};

	if (open_file(path, &image) != 0)
		return -1;
	*ret_image = image;
	return 0;
}

int image_measure(const char *path, uint64_t *ret_length)
{
	struct image image = {.length = PAGE_BYTES};
	off_t end;

	if (open_file(path, &image) != 0)
		return -1;
	end = lseek(image.fd, 0, SEEK_END);
	image_close(&image);
	*ret_length = (uint64_t)end / PAGE_BYTES * PAGE_BYTES;
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

struct source_file image_file(const struct image *image)
{
	return (struct source_file){image->fd, image->name, image->length};
}

int image_make(const char *path, uint64_t length, enum pattern_layout layout)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
	int result;

	if (fd < 0) {
		complain("cannot make image %s: %s", path, strerror(errno));
		return -1;
	}
	interrupt_defer();
	result = write_image(fd, length, layout, path);
	if (close(fd) != 0 && result == 0) {
		complain("cannot write to %s: %s", path, strerror(errno));
		result = -1;
	}
	if (result != 0 || interrupt_came())
		unlink(path);
	interrupt_deliver();
	return result;
}
