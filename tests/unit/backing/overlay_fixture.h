/* SPDX-License-Identifier: MIT
 *
 * overlay_fixture.h - a base of pages that tell where they belong, with holes, in a
 * directory of its own, and an overlay over it.
 */
#ifndef OVERLAY_FIXTURE_H
#define OVERLAY_FIXTURE_H

#include "sample.h"

#include <errno.h>
#include <lazymem/file.h>
#include <lazymem/overlay.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define PAGE ((size_t)4096)
#define BLOCKS ((size_t)40)
#define LENGTH (BLOCKS * PAGE - 1000) /* the last block is cut off */

static char *directory, *path, *base_path;
static struct lazymem_backing *base, *overlay;
static unsigned char expected[BLOCKS * PAGE];
static unsigned char buffer[BLOCKS * PAGE];

static inline void assert_says(const char *part)
{
	if (strstr(lazymem_error_message(), part) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", part, lazymem_error_message());
}

static inline char *path_of(const char *name)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", directory, name) < 0)
		abort();
	return joined;
}

/* Blocks 8 to 15 are a hole. */
static inline int set_up(void **state)
{
	(void)state;
	directory = sample_make_directory();
	path = path_of("overlay");
	base_path = path_of("base");
	sample_write(base_path, 0, 8 * PAGE);
	sample_write(base_path, 16 * PAGE, LENGTH - 16 * PAGE);
	assert_int_equal(lazymem_file_open(base_path, NULL, &base), 0);
	memset(expected, 0, sizeof(expected));
	sample_fill(expected, 0, 8 * PAGE);
	sample_fill(expected + 16 * PAGE, 16 * PAGE, LENGTH - 16 * PAGE);
	overlay = NULL;
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(overlay);
	lazymem_backing_unref(base);
	free(path);
	free(base_path);
	sample_remove_directory(directory);
	return 0;
}

static inline int open_over(struct lazymem_backing *below, unsigned flags)
{
	const struct lazymem_overlay_options options = {.size = sizeof(options), .flags = flags};

	return lazymem_overlay_open(path, below, &options, &overlay);
}

static inline void open_overlay(void)
{
	if (open_over(base, 0) != 0)
		fail_msg("%s", lazymem_error_message());
}

static inline void close_overlay(void)
{
	lazymem_backing_unref(overlay);
	overlay = NULL;
}

static inline void reopen(void)
{
	close_overlay();
	open_overlay();
}

static inline void assert_holds(void)
{
	memset(buffer, 0xee, sizeof(buffer));
	assert_int_equal(lazymem_backing_read(overlay, 0, buffer, sizeof(buffer)), 0);
	assert_memory_equal(buffer, expected, sizeof(buffer));
}

/* Write bytes that no page of the base has, here and in what is expected. */
static inline void put(uint64_t offset, size_t length)
{
	static unsigned char next;

	next++;
	for (size_t i = 0; i < length; i++)
		expected[offset + i] = (unsigned char)(next * 7 + i * 31 + i / 256);
	if (lazymem_backing_write(overlay, offset, expected + offset, length) != 0)
		fail_msg("%s", lazymem_error_message());
}

static inline void discard(uint64_t offset, size_t length)
{
	memset(expected + offset, 0, length);
	if (lazymem_backing_discard(overlay, offset, length) != 0)
		fail_msg("%s", lazymem_error_message());
}

static inline void flush(void)
{
	if (lazymem_backing_flush(overlay) != 0)
		fail_msg("%s", lazymem_error_message());
}

/* The file as it is, without what the object has not written yet, at another place
 * and over it: what a killed process leaves. */
static inline void crash(void)
{
	char *left = path_of("left");
	struct stat status;
	unsigned char *bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_int_equal(fstat(fd, &status), 0);
	bytes = malloc((size_t)status.st_size);
	assert_int_equal(pread(fd, bytes, (size_t)status.st_size, 0), status.st_size);
	close(fd);
	close_overlay();
	fd = open(left, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(pwrite(fd, bytes, (size_t)status.st_size, 0), status.st_size);
	close(fd);
	free(bytes);
	assert_int_equal(rename(left, path), 0);
	free(left);
	open_overlay();
}

#endif
