/* SPDX-License-Identifier: MIT
 *
 * queue_fixture.h - a queue and a file to read, for the tests of the queue.
 */
#ifndef QUEUE_FIXTURE_H
#define QUEUE_FIXTURE_H

#include "backing/queue.h"
#include "sample.h"

#include <errno.h>
#include <lazymem/common.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#define FILE_LENGTH (1 << 20)

static char *directory;
static int file = -1;
static struct lm_queue *queue;

static inline int make_file(void **state)
{
	char *path;

	(void)state;
	directory = sample_make_directory();
	if (asprintf(&path, "%s/file", directory) < 0)
		return -1;
	sample_write(path, 0, FILE_LENGTH);
	file = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	return file < 0 ? -1 : 0;
}

static inline int remove_file(void **state)
{
	(void)state;
	close(file);
	sample_remove_directory(directory);
	return 0;
}

static inline int set_up(void **state)
{
	struct lm_queue *probe;
	const int error = lm_queue_create(8, &probe);

	(void)state;
	if (error == -ENOSYS || error == -EPERM) {
		fprintf(stderr, "skipped: %s\n", lazymem_error_message());
		exit(77);
	}
	queue = probe;
	return error;
}

static inline int tear_down(void **state)
{
	(void)state;
	lm_queue_destroy(queue);
	return 0;
}

static inline uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* An operation that notes how it ended. */
struct noted {
	struct lm_operation operation;
	unsigned completions;
	int result;
	bool more;
};

static inline void note(struct lm_operation *operation, int result, bool more)
{
	struct noted *noted = (struct noted *)operation;

	noted->completions++;
	noted->result = result;
	noted->more = more;
}

static inline void run_until(const unsigned *count, unsigned wanted)
{
	while (*count < wanted)
		assert_true(lm_queue_run(queue, UINT64_MAX) >= 0);
}

#endif
