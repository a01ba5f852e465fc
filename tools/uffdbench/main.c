/* SPDX-License-Identifier: MIT
 *
 * uffdbench - measure ways to fill guest memory when it is first touched.
 */
#include "bench.h"
#include "complain.h"
#include "options.h"
#include "own_name.h"
#include "raw_userfaultfd.h"
#include "suite_bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* A touch that nobody can serve: a page that was poisoned, or an image that
 * was cut short while it was mapped. */
static void die_of_touch(int number)
{
	static const char message[] =
		"uffdbench: a touch was answered by SIGBUS: its page could not be read\n";

	(void)number;
	own_name_remove_at_death();
	if (write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(EXIT_RUN_FAILED);
	_exit(EXIT_RUN_FAILED);
}

static void check_page_size(void)
{
	if (sysconf(_SC_PAGESIZE) == PAGE_BYTES)
		return;
	complain("this kernel has pages of %ld bytes; the workloads are in pages of %u",
		 sysconf(_SC_PAGESIZE), PAGE_BYTES);
	exit(EXIT_RUN_FAILED);
}

static void check_permission(const struct options *options)
{
	bool needed = options->suite != NULL;
	int fd;
	int error;

	for (unsigned i = 0; i < options->engine_count; i++)
		needed |= options->engines[i]->needs_userfaultfd;
	if (!needed)
		return;
	error = raw_userfaultfd_open(&fd);
	if (error != 0) {
		raw_userfaultfd_explain(error);
		exit(error == -EPERM || error == -EACCES ? EXIT_NO_PERMISSION : EXIT_RUN_FAILED);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	struct options options;
	struct sigaction action = {.sa_handler = die_of_touch};

	options_parse(argc, argv, &options);
	check_page_size();
	if (options.make_image != NULL)
		return bench_make_image(&options);
	if (options.make_trace != NULL)
		return bench_make_trace(&options);
	check_permission(&options);
	sigaction(SIGBUS, &action, NULL);
	return options.suite != NULL ? suite_bench(&options) : bench(&options);
}
