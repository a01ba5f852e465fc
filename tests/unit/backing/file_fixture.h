/* SPDX-License-Identifier: MIT
 *
 * file_fixture.h - a file in a directory of its own, opened as a backing
 * object and read with and without a queue: for the tests of files.
 */
#ifndef FILE_FIXTURE_H
#define FILE_FIXTURE_H

#include "backing/queue.h"
#include "sample.h"

#include <errno.h>
#include <lazymem/file.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define PAGE 4096
#define LENGTH (64 * PAGE + 123)

static char *directory;
static char *path; /* a file of LENGTH bytes, for each test anew */
static unsigned char *buffer;
static struct lazymem_backing *backing;

static inline char *path_of(const char *name)
{
	char *joined;

	if (asprintf(&joined, "%s/%s", directory, name) < 0)
		abort();
	return joined;
}

static inline int make_directory(void **state)
{
	(void)state;
	directory = sample_make_directory();
	path = path_of("file");
	buffer = aligned_alloc(PAGE, 128 * PAGE);
	return 0;
}

static inline int remove_directory(void **state)
{
	(void)state;
	free(buffer);
	free(path);
	sample_remove_directory(directory);
	return 0;
}

static inline int make_file(void)
{
	backing = NULL;
	memset(buffer, 0, 128 * PAGE);
	sample_write(path, 0, LENGTH);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	lazymem_backing_unref(backing);
	return unlink(path);
}

static inline void open_file(unsigned flags)
{
	const struct lazymem_file_options options = {.size = sizeof(options), .flags = flags};

	assert_int_equal(lazymem_file_open(path, &options, &backing), 0);
}

static inline void assert_reads(uint64_t offset, size_t length)
{
	memset(buffer, 0, length);
	assert_int_equal(lazymem_backing_read(backing, offset, buffer, length), 0);
	assert_true(sample_matches(buffer, offset, length));
}

static inline void open_file_direct(void)
{
	const struct lazymem_file_options options = {.size = sizeof(options),
						     .flags = LAZYMEM_FILE_DIRECT};
	const int error = lazymem_file_open(path, &options, &backing);

	if (error == -EINVAL || error == -EOPNOTSUPP)
		skip(); /* the file system has none */
	assert_int_equal(error, 0);
}

struct outcome {
	unsigned count;
	int error;
};

static inline void note(struct lazymem_read *read, int error)
{
	struct outcome *outcome = read->context;

	outcome->count++;
	outcome->error = error;
}

static inline struct lm_queue *make_queue(void)
{
	struct lm_queue *queue;
	const int error = lm_queue_create(8, &queue);

	if (error == -ENOSYS || error == -EPERM)
		skip();
	assert_int_equal(error, 0);
	return queue;
}

/* Read through a queue and wait; the error of the one completion. */
static inline int read_on_queue(struct lm_queue *queue, uint64_t offset, size_t length)
{
	struct outcome outcome = {0};
	struct lazymem_read read = {.offset = offset,
				    .length = length,
				    .buffer = buffer,
				    .complete = note,
				    .context = &outcome,
				    .queue = queue};

	lazymem_backing_submit(backing, &read);
	while (outcome.count == 0)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
	assert_int_equal(lm_queue_run(queue, 0), 0);
	assert_int_equal(outcome.count, 1);
	assert_int_equal(lm_queue_reads_in_flight(queue), 0);
	return outcome.error;
}

static inline void assert_reads_on_queue(struct lm_queue *queue, uint64_t offset, size_t length)
{
	memset(buffer, 0, length);
	assert_int_equal(read_on_queue(queue, offset, length), 0);
	assert_true(sample_matches(buffer, offset, length));
}

#endif
