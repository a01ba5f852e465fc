/* SPDX-License-Identifier: MIT */
#include "nbd_server.h"

#include <errno.h>
#include <lazymem/nbd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST_ARGUMENTS 32

void require_nbd(void)
{
	struct lazymem_backing *none;

	if (lazymem_nbd_open("nbd+unix:///?socket=/nowhere", NULL, &none) == -EPROTONOSUPPORT)
		skip_program("%s", lazymem_error_message());
	if (system("nbdkit --version >/dev/null 2>&1") != 0)
		skip_program("nbdkit is not installed");
}

void nbd_server_init(struct nbd_server *server, const char *name)
{
	*server = (struct nbd_server){.pid = 0};
	assert_true(strlen(scratch_path(name)) < sizeof(server->socket));
	snprintf(server->socket, sizeof(server->socket), "%s", scratch_path(name));
	snprintf(server->pid_file, sizeof(server->pid_file), "%s.pid", server->socket);
	snprintf(server->log, sizeof(server->log), "%s.log", server->socket);
	snprintf(server->uri, sizeof(server->uri), "nbd+unix:///?socket=%s", server->socket);
}

/* It has ended before it listened. */
static bool is_over(const struct nbd_server *server)
{
	int status;

	return waitpid(server->pid, &status, WNOHANG) == server->pid;
}

static void print_log(const struct nbd_server *server)
{
	FILE *log = fopen(server->log, "r");
	char line[256];

	while (log != NULL && fgets(line, sizeof(line), log) != NULL)
		print_error("%s", line);
	if (log != NULL)
		fclose(log);
}

/* nbdkit writes its pid file once it listens. */
static bool listens_or_is_over(void *argument)
{
	const struct nbd_server *server = argument;

	return access(server->pid_file, F_OK) == 0 || is_over(server);
}

void nbd_server_start(struct nbd_server *server, const char *const *arguments)
{
	const char *full[MOST_ARGUMENTS + 8] = {"nbdkit",       "--foreground", "--unix",
						server->socket, "--pidfile",    server->pid_file};
	size_t count = 6;

	for (size_t i = 0; arguments[i] != NULL; i++) {
		assert_true(i < MOST_ARGUMENTS);
		full[count++] = arguments[i];
	}
	full[count] = NULL;
	unlink(server->socket);
	unlink(server->pid_file);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (freopen("/dev/null", "r", stdin) == NULL ||
		    freopen(server->log, "a", stdout) == NULL || dup2(1, 2) < 0)
			_exit(126);
		execvp(full[0], (char *const *)(uintptr_t)full);
		_exit(127);
	}
	assert_true(await(listens_or_is_over, server));
	if (access(server->pid_file, F_OK) != 0)
		print_log(server);
	assert_int_equal(access(server->pid_file, F_OK), 0);
}

void nbd_server_kill(struct nbd_server *server)
{
	int status;

	if (server->pid == 0)
		return;
	kill(server->pid, SIGKILL);
	while (waitpid(server->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	server->pid = 0;
	unlink(server->socket);
}

void nbd_server_freeze(const struct nbd_server *server)
{
	kill(server->pid, SIGSTOP);
}

void nbd_server_thaw(const struct nbd_server *server)
{
	kill(server->pid, SIGCONT);
}
