/* SPDX-License-Identifier: MIT
 *
 * run_program_closing.c - programs that close what they did not open, that have no
 * standard descriptors, lock the file, cancel a thread that maps it, leave a child
 * behind, or map it in an order of their own.
 */
#include "run_program.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define NUMBERS 1024

void close_each(struct target *t)
{
	char *at = map_whole(t);

	for (int fd = STDERR_FILENO + 1; fd < NUMBERS; fd++)
		close(fd);
	expect(t, at, 0, t->size, IMAGE);
}

void close_all_at_once(struct target *t)
{
	char *at = map_whole(t);

	CHECK(close_range(STDERR_FILENO + 1, ~0U, 0) == 0);
	expect(t, at, 0, t->size / 2, IMAGE);
	closefrom(STDERR_FILENO + 1);
	expect(t, at, 0, t->size, IMAGE);
}

/* What is in the way may be refused, but not replaced. */
void replace_each(struct target *t)
{
	char *at = map_whole(t);

	for (int fd = STDERR_FILENO + 1; fd < NUMBERS; fd++)
		(void)(fd % 2 == 0 ? dup2(STDIN_FILENO, fd) : dup3(STDIN_FILENO, fd, O_CLOEXEC));
	expect(t, at, 0, t->size, IMAGE);
}

/* As daemons do. Meanwhile nothing else has the numbers, nor any other low one. */
void without_standard(struct target *t)
{
	const int errors = dup(STDERR_FILENO), next = dup(STDERR_FILENO);
	char *at;

	CHECK(errors > STDERR_FILENO && next > errors);
	close(next);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		close(fd);
	at = map_whole(t);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (open("/dev/null", O_RDWR) != fd)
			dprintf(errors, "%d is not free\n", fd);
	if (dup(STDERR_FILENO) != next)
		dprintf(errors, "%d is not free\n", next);
	dup2(errors, STDERR_FILENO);
	expect(t, at, 0, t->size, IMAGE);
}

/* The file itself gets the number of stderr: a message of ours must not end there. With us,
 * the child's mapping is refused with one. */
void without_stderr(struct target *t)
{
	const int errors = 7; /* where the shell has put it */
	char *at;
	int fd, status;
	pid_t child;

	CHECK(t->fd == STDERR_FILENO);
	close(STDERR_FILENO);
	fd = open(t->path, O_RDWR);
	CHECK(fd == STDERR_FILENO);
	at = mmap(NULL, t->size, BOTH, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED);
	CHECK(holds(t, at, 0, t->page, IMAGE));
	child = fork();
	if (child == 0) {
		(void)mmap(NULL, t->size, BOTH, MAP_SHARED, fd, 0);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(dup2(errors, STDERR_FILENO) == STDERR_FILENO);
	expect(t, at, 0, t->size, IMAGE);
}

/* With us it is refused, and nothing changes. */
void pages_in_other_order(struct target *t)
{
	const size_t half = t->size / 2;
	char *at = map_whole(t);

	if (remap_file_pages(at, half, 0, half / t->page, 0) == 0)
		expect(t, at, half, half, IMAGE);
	else
		expect(t, at, 0, t->size, IMAGE);
}

void lock_before(struct target *t)
{
	CHECK(lockf(t->fd, F_TLOCK, 0) == 0);
	expect(t, map_whole(t), 0, t->size, IMAGE);
}

/* Nothing is touched, and it stays so until the process is killed. */
void map_only(struct target *t)
{
	(void)map_whole(t);
	puts("waiting");
	fflush(stdout);
	for (;;)
		pause();
}

/* A child that outlives its parent, and prints its number. */
void child_stays(struct target *t)
{
	char *at = map_whole(t);
	const pid_t child = fork();

	if (child == 0) {
		for (;;)
			pause();
	}
	expect(t, at, 0, t->size, IMAGE);
	printf("%d\n", (int)child);
}

static void *map_cancelled(void *context)
{
	const struct target *t = context;

	pthread_cancel(pthread_self());
	(void)mmap(NULL, t->size, BOTH, MAP_SHARED, t->fd, 0);
	pthread_testcancel();
	return NULL;
}

/* mmap(2) is no place where a thread can be cancelled. */
void cancelled(struct target *t)
{
	pthread_t thread;
	void *result;

	CHECK(pthread_create(&thread, NULL, map_cancelled, t) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
	expect(t, map_whole(t), 0, t->size, IMAGE);
}
