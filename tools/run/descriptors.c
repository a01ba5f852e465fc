/* SPDX-License-Identifier: MIT
 *
 * A program may close what it did not open: each number up to a limit, or a whole
 * range. If that hit the userfaultfd, every page that is missing would read as zeros. So
 * we know our numbers, and the program's calls pass them over.
 *
 * The library opens what it needs by itself. So all numbers below LEAST are occupied
 * meanwhile, and what is there afterwards and was not before is ours, if it is of a
 * kind that we open: a thread of the program may have opened something too.
 */
#include "descriptors.h"
#include "serve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAST 256
#define NUMBERS 65536u /* higher ones are not noted */
#define WORD_BITS 64u

struct numbers {
	_Atomic uint64_t words[NUMBERS / WORD_BITS];
};

static struct numbers ours, before, occupied;

static void set(struct numbers *numbers, unsigned fd)
{
	if (fd < NUMBERS)
		atomic_fetch_or(&numbers->words[fd / WORD_BITS], UINT64_C(1) << fd % WORD_BITS);
}

static bool is_set(const struct numbers *numbers, unsigned fd)
{
	return fd < NUMBERS &&
	       (atomic_load(&numbers->words[fd / WORD_BITS]) >> fd % WORD_BITS & 1) != 0;
}

static void clear(struct numbers *numbers)
{
	for (size_t i = 0; i < NUMBERS / WORD_BITS; i++)
		atomic_store(&numbers->words[i], 0);
}

static void for_each_open(void (*note)(unsigned fd))
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
			note((unsigned)atoi(entry->d_name));
	closedir(directory);
}

/* ---- while we open ------------------------------------------------------------- */

static void note_before(unsigned fd)
{
	set(&before, fd);
}

/* Files, and what has no type: userfaultfd, io_uring, eventfd. */
static bool is_our_kind(unsigned fd)
{
	struct stat stat;

	return fstat((int)fd, &stat) == 0 &&
	       (S_ISREG(stat.st_mode) || (stat.st_mode & S_IFMT) == 0) &&
	       (fcntl((int)fd, F_GETFD) & FD_CLOEXEC) != 0;
}

static void note_ours(unsigned fd)
{
	if (!is_set(&before, fd) && !is_set(&occupied, fd) && is_our_kind(fd))
		set(&ours, fd);
}

/* Not all of them, where few are allowed. */
static int least_number(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 2 < LEAST)
		return (int)(limit.rlim_cur / 2);
	return LEAST;
}

/* By what can be neither read nor written. */
static void occupy(void)
{
	const int least = least_number();
	int fd = open("/", O_PATH | O_CLOEXEC);

	while (fd >= 0 && fd < least) {
		set(&occupied, (unsigned)fd);
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	}
	if (fd >= 0)
		close(fd);
}

void run_descriptors_begin(void)
{
	clear(&ours);
	for_each_open(note_before);
	occupy();
}

void run_descriptors_end(void)
{
	for_each_open(note_ours);
	for (unsigned fd = 0; fd < LEAST; fd++)
		if (is_set(&occupied, fd))
			close((int)fd);
	clear(&occupied);
	clear(&before);
}

void run_descriptors_close(void)
{
	for (unsigned fd = 0; fd < NUMBERS; fd++)
		if (is_set(&ours, fd))
			close((int)fd);
	clear(&ours);
}

/* ---- while the program runs ---------------------------------------------------- */

bool run_descriptor_is_ours(int fd)
{
	return fd >= 0 && is_set(&ours, (unsigned)fd) && run_is_serving();
}

bool run_descriptors_next(unsigned first, unsigned last, unsigned *ret_fd)
{
	for (unsigned fd = first; fd <= last && fd < NUMBERS; fd++) {
		if (!run_descriptor_is_ours((int)fd))
			continue;
		*ret_fd = fd;
		return true;
	}
	return false;
}
