/* SPDX-License-Identifier: MIT
 *
 * run_program_children.c - fork, with and without exec, vfork and posix_spawn.
 */
#include "run_program.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8u
#define CHILDREN 5u
#define FORKS 40u

extern char **environ;

/* ---- after exec ------------------------------------------------------------------------ */

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What a child has inherited is told, to be compared with other runs. Several
 * children tell it at once, a line at a time. */
static void print_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	char line[4200];
	ssize_t length;

	CHECK(directory != NULL);
	for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
		const int fd = atoi(entry->d_name);

		if (fd <= STDERR_FILENO || fd == dirfd(directory))
			continue;
		length = readlinkat(dirfd(directory), entry->d_name, line, 4096);
		CHECK(length > 0);
		line[length] = '\n';
		CHECK(write(STDOUT_FILENO, line, (size_t)length + 1) == length + 1);
	}
	closedir(directory);
}

static void check_maps(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[5000];

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) != NULL)
		CHECK(strstr(line, "liblazymem") == NULL);
	fclose(maps);
}

/* RUN_PROGRAM_PRELOAD is what LD_PRELOAD was before anybody added to it. */
int examined_child(int argc, char **argv)
{
	sigset_t mask;

	(void)argc;
	CHECK(same_text(getenv("LD_PRELOAD"), getenv("RUN_PROGRAM_PRELOAD")));
	CHECK(getenv("LAZYMEM_RUN") == NULL);
	CHECK(sigprocmask(SIG_SETMASK, NULL, &mask) == 0);
	for (int i = 1; i < SIGRTMIN; i++)
		CHECK(sigismember(&mask, i) == 0);
	print_descriptors();
	check_maps();
	return atoi(argv[2]);
}

static _Noreturn void become_child(int status)
{
	char number[16];
	char *arguments[] = {(char *)(uintptr_t)THIS_PROGRAM, (char *)(uintptr_t) "child", number,
			     NULL};

	snprintf(number, sizeof(number), "%d", status);
	execv(THIS_PROGRAM, arguments);
	_exit(127);
}

static void expect_status(pid_t child, int expected)
{
	int status = 0;

	CHECK(child > 0);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status));
	CHECK(WEXITSTATUS(status) == expected);
}

struct family {
	const struct target *target;
	char *at;
	_Atomic bool ended;
};

/* Between two children, pages that are missing. */
static void have_children(size_t number, void *context)
{
	const struct family *family = context;
	const struct target *t = family->target;
	const size_t share = t->size / THREADS / CHILDREN / t->page * t->page;
	size_t offset = number * share * CHILDREN;

	for (unsigned i = 0; i < CHILDREN; i++, offset += share) {
		const int status = (int)(number * CHILDREN + i);
		const pid_t child = fork();

		if (child == 0)
			become_child(status);
		expect(t, family->at + offset, offset, share, IMAGE);
		expect_status(child, status);
	}
}

void fork_exec(struct target *t)
{
	struct family family = {.target = t, .at = map_whole(t)};

	run_threads(THREADS, have_children, &family);
	expect(t, family.at, 0, t->size, IMAGE);
}

/* ---- without exec ---------------------------------------------------------------------- */

static void expect_nothing_false(const struct target *t, const char *at, size_t offset)
{
	const int number = signal_of_read(at);

	CHECK(number == 0 || number == SIGSEGV);
	if (number == 0)
		expect(t, at, offset, t->page, IMAGE);
}

static void *touch_nothing(void *context)
{
	return context;
}

/* Whatever else a process uses. */
static void live(void)
{
	char *bytes = malloc(300000);
	char *anonymous;
	pthread_t thread;

	CHECK(bytes != NULL);
	memset(bytes, 1, 300000);
	free(bytes);
	anonymous = mmap(NULL, 1 << 20, BOTH, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(anonymous != MAP_FAILED);
	memset(anonymous, 1, 1 << 20);
	CHECK(madvise(anonymous, 4096, MADV_DONTNEED) == 0 && anonymous[0] == 0);
	anonymous = mremap(anonymous, 1 << 20, 2 << 20, MREMAP_MAYMOVE);
	CHECK(anonymous != MAP_FAILED && anonymous[4096] == 1);
	CHECK(munmap(anonymous, 2 << 20) == 0);
	CHECK(pthread_create(&thread, NULL, touch_nothing, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* A mapping of the file is refused, or right. */
static void map_in_child(const struct target *t)
{
	char *at = mmap(NULL, t->size, BOTH, MAP_SHARED, t->fd, 0);

	if (at == MAP_FAILED)
		return;
	for (size_t offset = 0; offset < t->size; offset += t->page)
		expect_nothing_false(t, at + offset, offset);
}

static void have_grandchild(void)
{
	const pid_t child = fork();

	if (child == 0)
		become_child(5);
	expect_status(child, 5);
}

/* The child ends as programs do, with what they have registered for their end. */
void fork_alone(struct target *t)
{
	char *at = map_whole(t);
	char *private = map(t, 0, t->size, BOTH, MAP_PRIVATE);
	pid_t child;

	expect(t, at, 0, t->size / 4, IMAGE);
	child = fork();
	if (child == 0) {
		for (size_t offset = 0; offset < t->size; offset += t->page) {
			expect_nothing_false(t, at + offset, offset);
			expect_nothing_false(t, private + offset, offset);
		}
		live();
		have_grandchild();
		exit(7);
	}
	expect(t, private, 0, t->size, IMAGE);
	expect_status(child, 7);
	expect(t, at, 0, t->size, IMAGE);
}

/* A child that maps the file for itself. */
void fork_and_map(struct target *t)
{
	char *at = map_whole(t);
	pid_t child;

	expect(t, at, 0, t->size / 4, IMAGE);
	child = fork();
	if (child == 0) {
		map_in_child(t);
		_exit(8);
	}
	expect_status(child, 8);
	expect(t, at, 0, t->size, IMAGE);
}

/* Nobody has mapped it before the fork, as in a daemon. */
void fork_then_map(struct target *t)
{
	const pid_t child = fork();

	if (child == 0) {
		char *at = map_whole(t);

		CHECK(setsid() >= 0);
		expect(t, at, 0, t->size, IMAGE);
		fill(t, at, 0, t->page, WRITTEN);
		exit(9);
	}
	expect_status(child, 9);
}

static void *map_and_unmap(void *context)
{
	struct family *family = context;
	const struct target *t = family->target;
	uint64_t random = t->seed;

	while (!atomic_load(&family->ended)) {
		const size_t offset = draw(&random, t->size / t->page) * t->page;
		char *at = map(t, offset, t->page, BOTH, MAP_SHARED);

		expect(t, at, offset, t->page, IMAGE);
		free(malloc(200000));
		at = mremap(at, t->page, t->page, MREMAP_MAYMOVE | MREMAP_FIXED, reserve(t->page));
		CHECK(at != MAP_FAILED);
		expect(t, at, offset, t->page, IMAGE);
		CHECK(madvise(at, t->page, MADV_DONTNEED) == 0);
		CHECK(munmap(at, t->page) == 0);
	}
	return NULL;
}

void fork_while_mapping(struct target *t)
{
	struct family family = {.target = t, .at = map_whole(t)};
	pthread_t threads[2];

	for (size_t i = 0; i < COUNT(threads); i++)
		CHECK(pthread_create(&threads[i], NULL, map_and_unmap, &family) == 0);
	for (unsigned i = 0; i < FORKS; i++) {
		const pid_t child = fork();

		if (child == 0) {
			live();
			if (i % 4 == 0)
				become_child(3);
			_exit(3);
		}
		expect_status(child, 3);
	}
	atomic_store(&family.ended, true);
	for (size_t i = 0; i < COUNT(threads); i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- the other ways ----------------------------------------------------------------------- */

void spawn(struct target *t)
{
	char *arguments[] = {(char *)(uintptr_t)THIS_PROGRAM, (char *)(uintptr_t) "child",
			     (char *)(uintptr_t) "11", NULL};
	char *at = map_whole(t);
	const size_t part = t->size / 8;
	char line[16];
	FILE *output;
	pid_t child;

	expect(t, at, 0, part, IMAGE);
	CHECK(posix_spawn(&child, THIS_PROGRAM, NULL, NULL, arguments, environ) == 0);
	expect(t, at + part, part, part, IMAGE);
	expect_status(child, 11);
	child = vfork();
	if (child == 0) {
		execv(THIS_PROGRAM, arguments);
		_exit(127);
	}
	expect(t, at + 2 * part, 2 * part, part, IMAGE);
	expect_status(child, 11);
	child = vfork();
	if (child == 0)
		_exit(12);
	expect_status(child, 12);
	CHECK(WEXITSTATUS(system("test -z \"$LAZYMEM_RUN\" && exit 13")) == 13);
	output = popen("echo out", "re");
	CHECK(output != NULL && fgets(line, sizeof(line), output) != NULL);
	CHECK(strcmp(line, "out\n") == 0 && pclose(output) == 0);
	expect(t, at + 3 * part, 3 * part, t->size - 3 * part, IMAGE);
}
