/* SPDX-License-Identifier: MIT */
#include "gnuplot.h"

#include <fcntl.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

int gnuplot_run(const char *directory, const char *argument)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -1;
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);

		if (null >= 0 && dup2(null, STDIN_FILENO) == STDIN_FILENO &&
		    dup2(null, STDOUT_FILENO) == STDOUT_FILENO && chdir(directory) == 0)
			execlp("gnuplot", "gnuplot", argument, (char *)NULL);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
