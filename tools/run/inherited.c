/* SPDX-License-Identifier: MIT
 *
 * The program that maps the memory need not be the first one that runs: a shell
 * or taskset(1) may come before. So the settings and the environment outlive execve until
 * somebody has mapped it, and go then.
 *
 * A program on the way may close descriptors that it does not know, and one that kept a copy
 * of the old environment may hand it on. Then a parent still has the settings: the one that
 * serves keeps its descriptor. Where nobody has them, the program does not run: which
 * file is a memory is not known, and it would read zeros.
 */
#include "inherited.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GENERATIONS 64 /* of parents that are asked */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct run_settings settings;
static struct run_board *board;
static int descriptor = -1; /* -1: a parent's was read */
static struct stat descriptor_stat;

/* -1: that is no number of a descriptor. */
static int parse_descriptor(const char *value)
{
	char *end;
	const long fd = strtol(value, &end, 10);
	const bool is_whole = end != value && (*end == '\0' || *end == ':');

	return is_whole && fd >= 0 && fd <= INT_MAX ? (int)fd : -1;
}

/* The file has seals, as only a memfd can. */
static bool may_be_settings(int fd)
{
	const int seals = fcntl(fd, F_GET_SEALS);

	return seals >= 0 && (seals & F_SEAL_SHRINK) != 0;
}

/* 0: none. The line is "number (name) state parent ..."; the name may have anything in it. */
static long parent_of(long process)
{
	char text[512];
	const char *after;
	ssize_t length;
	long parent;
	int fd;

	snprintf(text, sizeof(text), "/proc/%ld/stat", process);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	after = strrchr(text, ')');
	return after != NULL && sscanf(after, ") %*c %ld", &parent) == 1 ? parent : 0;
}

/* A new descriptor; -1: none has it. */
static int open_of_parents(int fd)
{
	long process = getppid();

	for (int generation = 0; process > 0 && generation < GENERATIONS; generation++) {
		char path[64];
		int found;

		snprintf(path, sizeof(path), "/proc/%ld/fd/%d", process, fd);
		found = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (found >= 0 && may_be_settings(found))
			return found;
		if (found >= 0)
			close(found);
		process = parent_of(process);
	}
	return -1;
}

/* -1 after a message. */
static int load_from(int fd)
{
	if (run_settings_load(fd, &settings, &board) == 0)
		return 0;
	board = NULL;
	return -1;
}

static int load_from_parents(int fd)
{
	const int found = open_of_parents(fd);
	int result = -1;

	if (found < 0)
		complain("descriptor %d, with the settings, is closed", fd);
	else
		result = load_from(found);
	if (found >= 0)
		close(found);
	return result;
}

static int load_from_own(int fd)
{
	descriptor = fd;
	return fstat(fd, &descriptor_stat) == 0 ? load_from(fd) : -1;
}

static void load(void)
{
	const char *value = getenv(RUN_ENVIRONMENT);
	const int fd = value != NULL ? parse_descriptor(value) : -1;

	if (value == NULL)
		return;
	if ((may_be_settings(fd) ? load_from_own(fd) : load_from_parents(fd)) == 0)
		return;
	complain("%s does not run: it would find zeros in the memory", program_invocation_name);
	_exit(EXIT_RUN_FAILED);
}

const struct run_settings *run_the_settings(void)
{
	const int saved = errno;

	pthread_once(&once, load);
	errno = saved;
	return board != NULL ? &settings : NULL;
}

struct run_board *run_the_board(void)
{
	return board;
}

/* Now: the program may close the descriptor before it maps anything. */
__attribute__((constructor)) static void load_first(void)
{
	(void)run_the_settings();
}

/* Another file may have the number by now. */
static void keep_from_children(void)
{
	struct stat now;

	if (descriptor >= 0 && fstat(descriptor, &now) == 0 &&
	    now.st_dev == descriptor_stat.st_dev && now.st_ino == descriptor_stat.st_ino)
		fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

void run_disinherit(void)
{
	const char *value = getenv(RUN_ENVIRONMENT);
	const char *preloaded = value != NULL ? strchr(value, ':') : NULL;

	keep_from_children();
	if (preloaded != NULL)
		setenv("LD_PRELOAD", preloaded + 1, 1);
	else if (value != NULL)
		unsetenv("LD_PRELOAD");
	unsetenv(RUN_ENVIRONMENT);
}
