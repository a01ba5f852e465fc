/* SPDX-License-Identifier: MIT */
#include "nbd_server.h"

#include <errno.h>
#include <fcntl.h>
#include <lazymem/nbd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

/* In the child. A listener is handed over as systemd would. */
static void run(const struct nbd_server *server, const char *const *arguments, int listener)
{
	char pid[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (freopen("/dev/null", "r", stdin) == NULL || freopen(server->log, "a", stdout) == NULL ||
	    dup2(1, 2) < 0)
		_exit(126);
	if (listener >= 0) {
		snprintf(pid, sizeof(pid), "%d", (int)getpid());
		if (dup2(listener, 3) < 0 || fcntl(3, F_SETFD, 0) != 0 ||
		    setenv("LISTEN_PID", pid, 1) != 0 || setenv("LISTEN_FDS", "1", 1) != 0)
			_exit(126);
	}
	execvp(arguments[0], (char *const *)(uintptr_t)arguments);
	_exit(127);
}

/* With what it takes to listen, `own`, before the arguments. */
static void start(struct nbd_server *server, const char *const *own, const char *const *arguments,
		  int listener)
{
	const char *full[MOST_ARGUMENTS];
	size_t count = 0;

	for (; *own != NULL; own++)
		full[count++] = *own;
	for (; *arguments != NULL; arguments++) {
		assert_true(count < MOST_ARGUMENTS - 1);
		full[count++] = *arguments;
	}
	full[count] = NULL;
	unlink(server->socket);
	unlink(server->pid_file);
	server->pid = fork();
	assert_true(server->pid >= 0);
	if (server->pid == 0)
		run(server, full, listener);
	assert_true(await(listens_or_is_over, server));
	if (access(server->pid_file, F_OK) != 0)
		print_log(server);
	assert_int_equal(access(server->pid_file, F_OK), 0);
}

void nbd_server_start(struct nbd_server *server, const char *const *arguments)
{
	const char *const own[] = {"nbdkit",    "--foreground",   "--unix", server->socket,
				   "--pidfile", server->pid_file, NULL};

	start(server, own, arguments, -1);
}

unsigned nbd_server_start_tcp(struct nbd_server *server, const char *const *arguments)
{
	const char *const own[] = {"nbdkit", "--foreground", "--pidfile", server->pid_file, NULL};
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof(address);
	const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(listener >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(listener, 16), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
	start(server, own, arguments, listener);
	close(listener);
	return ntohs(address.sin_port);
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
	int status;

	kill(server->pid, SIGSTOP);
	/* Its other threads go on until one of them has taken the signal. */
	assert_int_equal(waitpid(server->pid, &status, WUNTRACED), server->pid);
	assert_true(WIFSTOPPED(status));
}

void nbd_server_thaw(const struct nbd_server *server)
{
	kill(server->pid, SIGCONT);
}
