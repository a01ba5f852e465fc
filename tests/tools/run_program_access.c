/* SPDX-License-Identifier: MIT
 *
 * run_program_access.c - opening, mapping, accesses that may raise a signal,
 * numbers and threads: what the cases share.
 */
#include "run_program.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MANY 64u

_Noreturn void die(const char *file, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "run_program: %s:%d: ", file, line);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	_exit(1);
}

struct target open_target(const char *path, const char *length, const char *seed)
{
	struct target target = {
		.path = path, .length = strtoull(length, NULL, 0), .seed = strtoull(seed, NULL, 0)};
	struct statfs filesystem;
	struct stat status;

	target.fd = open(path, O_RDWR | O_CLOEXEC);
	if (target.fd < 0)
		die(__FILE__, __LINE__, "%s: errno %d", path, errno);
	CHECK(fstatfs(target.fd, &filesystem) == 0 && fstat(target.fd, &status) == 0);
	target.page = (size_t)filesystem.f_bsize;
	target.size = (size_t)status.st_size;
	return target;
}

char *map(const struct target *target, uint64_t offset, size_t length, int protection, int flags)
{
	char *at = mmap(NULL, length, protection, flags, target->fd, (off_t)offset);

	CHECK(at != MAP_FAILED);
	return at;
}

char *map_whole(const struct target *target)
{
	return map(target, 0, target->size, BOTH, MAP_SHARED);
}

char *reserve(size_t length)
{
	char *at =
		mmap(NULL, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

/* ---- signals --------------------------------------------------------------------- */

static sigjmp_buf back;

static void come_back(int number)
{
	siglongjmp(back, number);
}

static int signal_of(char *at, bool write)
{
	const struct sigaction action = {.sa_handler = come_back};
	struct sigaction segv, bus;
	int number;

	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	number = sigsetjmp(back, 1);
	if (number == 0 && write)
		*(volatile char *)at = *(volatile char *)at;
	else if (number == 0)
		(void)*(volatile char *)at;
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return number;
}

int signal_of_read(const void *at)
{
	return signal_of((char *)(uintptr_t)at, false);
}

int signal_of_write(void *at)
{
	return signal_of(at, true);
}

/* ---- the rest ---------------------------------------------------------------------- */

uint64_t occupied(const struct target *target)
{
	struct stat status;

	CHECK(fstat(target->fd, &status) == 0);
	return (uint64_t)status.st_blocks * 512;
}

uint64_t draw(uint64_t *state, uint64_t limit)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % limit;
}

struct thread {
	size_t number;
	void (*body)(size_t number, void *context);
	void *context;
	pthread_t id;
};

static void *run_body(void *context)
{
	const struct thread *thread = context;

	thread->body(thread->number, thread->context);
	return NULL;
}

void run_threads(size_t count, void (*body)(size_t number, void *context), void *context)
{
	struct thread threads[MANY];

	CHECK(count <= MANY);
	for (size_t i = 0; i < count; i++) {
		threads[i] = (struct thread){.number = i, .body = body, .context = context};
		CHECK(pthread_create(&threads[i].id, NULL, run_body, &threads[i]) == 0);
	}
	for (size_t i = 0; i < count; i++)
		CHECK(pthread_join(threads[i].id, NULL) == 0);
}
