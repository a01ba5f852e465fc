/* SPDX-License-Identifier: MIT
 *
 * The program that maps the memory need not be the first one that runs: a shell
 * or taskset(1) may come before. So the settings and the environment outlive execve until
 * somebody has mapped it, and go then.
 */
#include "inherited.h"
#include "complain.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct run_settings settings;
static struct run_board *board;
static int descriptor;
static struct stat descriptor_stat;

/* -1: that is no number of a descriptor. */
static int parse_descriptor(const char *value)
{
	char *end;
	const long fd = strtol(value, &end, 10);

	return end != value && (*end == '\0' || *end == ':') && fd >= 0 && fd <= INT_MAX ? (int)fd
											 : -1;
}

static void load(void)
{
	const char *value = getenv(RUN_ENVIRONMENT);

	if (value == NULL)
		return;
	descriptor = parse_descriptor(value);
	if (descriptor < 0 || fstat(descriptor, &descriptor_stat) != 0) {
		complain("%s=%s names no open descriptor: no memory is filled in this program",
			 RUN_ENVIRONMENT, value);
		return;
	}
	if (run_settings_load(descriptor, &settings, &board) != 0)
		board = NULL;
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
static void close_settings(void)
{
	struct stat now;

	if (fstat(descriptor, &now) == 0 && now.st_dev == descriptor_stat.st_dev &&
	    now.st_ino == descriptor_stat.st_ino)
		close(descriptor);
}

void run_disinherit(void)
{
	const char *value = getenv(RUN_ENVIRONMENT);
	const char *preloaded = value != NULL ? strchr(value, ':') : NULL;

	close_settings();
	if (preloaded != NULL)
		setenv("LD_PRELOAD", preloaded + 1, 1);
	else if (value != NULL)
		unsetenv("LD_PRELOAD");
	unsetenv(RUN_ENVIRONMENT);
}
