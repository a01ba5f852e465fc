/* SPDX-License-Identifier: MIT
 *
 * The parent of the program, for its summary. It is to be noticed as little as
 * possible: it reads no input, writes nothing but to standard error, and ends as
 * the program ends.
 *
 * Signals are blocked and waited for, so no handler ever runs. One that came
 * from a process is passed on. One that came from the kernel, as those of the
 * terminal do, has come to the program as well, which is in the same group; but an
 * alarm that was set before us is no child's. What
 * stops and continues the group does so with both. The program gets the mask,
 * and what the caller ignores, as they were.
 *
 * SIGCHLD must not be ignored here, else the kernel would not keep the status.
 */
#include "complain.h"
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const int passed_on[] = {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR2, SIGALRM, SIGWINCH};

/* As the caller had it. */
struct before {
	sigset_t mask;
	struct sigaction child;
};

struct supervised {
	pid_t process;
	const struct run_settings *settings;
	const struct run_board *board;
};

/* The signals that are waited for, and SIGPIPE: who reads our messages may go. */
static void block_signals(struct before *before, sigset_t *ret_awaited)
{
	const struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t blocked;

	sigemptyset(ret_awaited);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++)
		sigaddset(ret_awaited, passed_on[i]);
	sigaddset(ret_awaited, SIGUSR1);
	sigaddset(ret_awaited, SIGCHLD);
	blocked = *ret_awaited;
	sigaddset(&blocked, SIGPIPE);
	sigprocmask(SIG_BLOCK, &blocked, &before->mask);
	sigaction(SIGCHLD, &plain, &before->child);
}

static void restore_signals(const struct before *before)
{
	sigaction(SIGCHLD, &before->child, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

/* ---- the start ------------------------------------------------------------------- */

/* In the child: the pipe is closed by the exec, or tells why there was none. */
static _Noreturn void execute(const char *path, char **arguments, const struct before *before,
			      int report)
{
	int error;

	restore_signals(before);
	execv(path, arguments);
	error = errno;
	if (write(report, &error, sizeof(error)) != sizeof(error))
		_exit(EXIT_USAGE);
	_exit(EXIT_RUN_FAILED);
}

/* 0, or the errno of the exec. */
static int read_report(int report)
{
	int error = 0;
	ssize_t length;

	do
		length = read(report, &error, sizeof(error));
	while (length < 0 && errno == EINTR);
	return length == sizeof(error) ? error : 0;
}

/* -1 after a message. */
static pid_t start(const char *path, char **arguments, const struct before *before)
{
	int report[2];
	pid_t process;
	int error;

	if (pipe2(report, O_CLOEXEC) != 0) {
		complain("%s: a pipe: %s", path, strerror(errno));
		return -1;
	}
	process = fork();
	if (process == 0)
		execute(path, arguments, before, report[1]);
	error = process < 0 ? errno : 0;
	close(report[1]);
	if (process > 0)
		error = read_report(report[0]);
	close(report[0]);
	if (error == 0)
		return process;
	complain("%s: cannot be executed: %s", path, strerror(error));
	if (process > 0)
		waitpid(process, NULL, 0);
	return -1;
}

/* ---- while it runs --------------------------------------------------------------- */

static void take_signal(const struct supervised *supervised, const siginfo_t *signal)
{
	if (signal->si_signo == SIGUSR1)
		run_print_summary(supervised->board, supervised->settings);
	else if (signal->si_signo == SIGALRM ||
		 (signal->si_signo != SIGCHLD && signal->si_code <= 0))
		kill(supervised->process, signal->si_signo);
}

/* Its status, as of waitpid(2). */
static int await_end(const struct supervised *supervised, const sigset_t *awaited)
{
	int status;

	for (;;) {
		siginfo_t signal;

		if (waitpid(supervised->process, &status, WNOHANG) == supervised->process)
			return status;
		if (sigwaitinfo(awaited, &signal) > 0)
			take_signal(supervised, &signal);
	}
}

/* The status to exit with, or no return. One core, that of the program, is enough. */
static int end_as(int status)
{
	sigset_t number;

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	prctl(PR_SET_DUMPABLE, 0);
	signal(WTERMSIG(status), SIG_DFL);
	sigemptyset(&number);
	sigaddset(&number, WTERMSIG(status));
	sigprocmask(SIG_UNBLOCK, &number, NULL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

int run_supervise(const char *path, char **arguments, int settings_fd)
{
	struct run_settings settings;
	struct run_board *board;
	struct supervised supervised;
	struct before before;
	sigset_t awaited;
	int status;

	if (run_settings_load(settings_fd, &settings, &board) != 0)
		return EXIT_RUN_FAILED;
	block_signals(&before, &awaited);
	supervised = (struct supervised){start(path, arguments, &before), &settings, board};
	if (supervised.process < 0) {
		restore_signals(&before);
		return EXIT_RUN_FAILED;
	}
	close(settings_fd);
	status = await_end(&supervised, &awaited);
	run_print_summary(board, &settings);
	return end_as(status);
}
