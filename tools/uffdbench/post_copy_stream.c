/* SPDX-License-Identifier: MIT
 *
 * How fast the stream of a post-copy migration brings all of the memory, beside
 * nbdcopy, which copies the same export over the same socket into a memfd: it too
 * has to find a page of memory for each page that comes. It is told what makes
 * it fast: that the destination is empty, not to look for zeros, as many
 * connections and requests as it likes best. The clock runs from before the
 * connection is made until every page is there, in both.
 */
#include "clock.h"
#include "complain.h"
#include "measurement.h"
#include "pattern.h"
#include "post_copy_guest.h"
#include "scratch.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ANONYMOUS, MEMFD, NBDCOPY };

static const char *const names[] = {"lazymem", "lazymem-memfd", "nbdcopy", NULL};

enum { TIME, RATE, RATIO };

static const struct measurement_column columns[] = {
	[TIME] = {"stream_ns", "time", UNIT_NS},
	[RATE] = {"bytes_per_second", "rate", UNIT_RATE},
	[RATIO] = {"to_nbdcopy", "to nbdcopy", UNIT_RATIO},
	{NULL, NULL, UNIT_NS},
};

static int time_lazymem(const struct post_copy_export *export, bool memfd,
			struct measurement_run *run, uint64_t *ret_ns)
{
	const uint64_t start_ns = clock_ns();
	struct lazy_guest guest;
	int result;

	if (post_copy_guest_open(export, run->way, memfd, run->memory, &guest) != 0)
		return -1;
	result = post_copy_guest_stream(&guest);
	if (result == 0)
		result = post_copy_guest_wait(&guest);
	*ret_ns = clock_ns() - start_ns;
	/* What could not be brought has been given up: it is told now. */
	if (result == 0)
		result = lazy_guest_populate(&guest);
	if (result == 0)
		run->wrong = post_copy_count_wrong(guest.host, run->memory);
	return lazy_guest_close(&guest) | result;
}

/* It ends with us, however we end. */
_Noreturn static void become_nbdcopy(const struct post_copy_export *export, int target)
{
	/* The descriptor is the child's from here on. */
	const int kept = dup(target);

	if (kept >= 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		execlp("nbdcopy", "nbdcopy", "--destination-is-zero", "--sparse=0", export->uri,
		       scratch_path(kept).text, (char *)NULL);
	complain("nbdcopy cannot be run: %s", strerror(errno));
	_exit(127);
}

static int run_nbdcopy(const struct post_copy_export *export, int target)
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (child == 0)
		become_nbdcopy(export, target);
	if (child < 0) {
		complain("cannot start nbdcopy: %s", strerror(errno));
		return -1;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	complain("nbdcopy has failed");
	return -1;
}

static int check_file(int target, struct measurement_run *run)
{
	void *memory = mmap(NULL, run->memory, PROT_READ, MAP_SHARED, target, 0);

	if (memory == MAP_FAILED) {
		complain("what nbdcopy has copied cannot be mapped: %s", strerror(errno));
		return -1;
	}
	run->wrong = post_copy_count_wrong(memory, run->memory);
	munmap(memory, run->memory);
	return 0;
}

static int time_nbdcopy(const struct post_copy_export *export, struct measurement_run *run,
			uint64_t *ret_ns)
{
	const int target = memfd_create("uffdbench-copy", MFD_CLOEXEC);
	const uint64_t start_ns = clock_ns();
	int result = -1;

	if (target < 0 || ftruncate(target, (off_t)run->memory) != 0)
		complain("no memory to be copied to: %s", strerror(errno));
	else
		result = run_nbdcopy(export, target);
	*ret_ns = clock_ns() - start_ns;
	if (result == 0)
		result = check_file(target, run);
	if (target >= 0)
		close(target);
	return result;
}

static int run_way(void *opaque, const struct measurement_setting *setting, size_t way,
		   struct measurement_run *run)
{
	struct post_copy_export *export = opaque;
	uint64_t ns = 0;
	int result;

	(void)setting;
	run->pages = run->memory / PAGE_BYTES;
	if (post_copy_export_check(export) != 0)
		return -1;
	result = way == NBDCOPY ? time_nbdcopy(export, run, &ns)
				: time_lazymem(export, way == MEMFD, run, &ns);
	if (result != 0)
		return -1;
	run->values[TIME] = (double)ns;
	run->values[RATE] = (double)run->memory * NS_PER_SECOND / (double)ns;
	return 0;
}

static void relate(struct measurement_run *runs, size_t count)
{
	for (size_t i = 0; i < count && !runs[NBDCOPY].failed; i++)
		runs[i].values[RATIO] = runs[i].values[RATE] / runs[NBDCOPY].values[RATE];
}

const struct measurement post_copy_stream = {
	.name = "stream",
	.summary = "bringing everything over NBD",
	.does = "brought",
	.ways = names,
	.columns = columns,
	.prepare = post_copy_prepare,
	.release = post_copy_release,
	.run = run_way,
	.relate = relate,
};
