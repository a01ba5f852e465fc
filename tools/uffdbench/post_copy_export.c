/* SPDX-License-Identifier: MIT
 *
 * nbdkit is handed the listening socket and the memory as descriptors, at the
 * numbers that it knows: so the socket is there before nbdkit runs, and who
 * connects too early waits. The memory has no other name than its number: that
 * is the name of the export.
 */
#include "post_copy_export.h"
#include "complain.h"
#include "pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define LISTENER 3 /* as the convention of socket activation has it */
#define MEMORY 4
#define OUT_OF_THE_WAY 64

#define TEXT(number) TEXT_OF(number)
#define TEXT_OF(number) #number

static int make_memory(uint64_t length, struct post_copy_export *export)
{
	char *memory;

	export->memory = memfd_create("uffdbench-export", MFD_CLOEXEC);
	if (export->memory < 0 || ftruncate(export->memory, (off_t)length) != 0) {
		complain("no memory to be exported: %s", strerror(errno));
		return -1;
	}
	memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, export->memory, 0);
	if (memory == MAP_FAILED) {
		complain("no memory to be exported: %s", strerror(errno));
		return -1;
	}
	for (uint64_t at = 0; at < length; at += PAGE_BYTES)
		pattern_fill(PATTERN_DATA, at, (uint64_t *)(void *)(memory + at));
	munmap(memory, length);
	return 0;
}

static int name_socket(const char *directory, struct post_copy_export *export)
{
	if (own_name_create(directory, "socket", &export->socket) != 0)
		return -1;
	if (asprintf(&export->uri, "nbd+unix:///" TEXT(MEMORY) "?socket=%s", export->socket.path) >=
	    0)
		return 0;
	export->uri = NULL;
	complain("no memory");
	return -1;
}

static int listen_there(struct post_copy_export *export)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = export->socket.path;

	if (strlen(path) >= sizeof(address.sun_path)) {
		complain("%s is too long a name for a socket: choose another --directory", path);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path));
	export->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (export->listener >= 0 &&
	    bind(export->listener, (struct sockaddr *)&address, sizeof(address)) == 0 &&
	    listen(export->listener, SOMAXCONN) == 0)
		return 0;
	complain("cannot listen on %s: %s", path, strerror(errno));
	return -1;
}

_Noreturn static void become_nbdkit(const struct post_copy_export *export)
{
	char pid[32];
	int listener = fcntl(export->listener, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
	int memory = fcntl(export->memory, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (listener >= 0 && memory >= 0 && dup2(listener, LISTENER) >= 0 &&
	    dup2(memory, MEMORY) >= 0 && setenv("LISTEN_PID", pid, 1) == 0 &&
	    setenv("LISTEN_FDS", "1", 1) == 0)
		execlp("nbdkit", "nbdkit", "--exit-with-parent", "--readonly", "file",
		       "dir=/proc/self/fd", (char *)NULL);
	complain("nbdkit cannot be run: %s", strerror(errno));
	_exit(127);
}

int post_copy_export_start(uint64_t length, const char *directory,
			   struct post_copy_export *ret_export)
{
	struct post_copy_export export = {.memory = -1, .listener = -1};

	if (make_memory(length, &export) == 0 && name_socket(directory, &export) == 0 &&
	    listen_there(&export) == 0) {
		fflush(NULL);
		export.server = fork();
		if (export.server == 0)
			become_nbdkit(&export);
		if (export.server > 0) {
			close(export.listener);
			export.listener = -1;
			*ret_export = export;
			return 0;
		}
		export.server = 0;
		complain("cannot start nbdkit: %s", strerror(errno));
	}
	post_copy_export_stop(&export);
	return -1;
}

int post_copy_export_check(struct post_copy_export *export)
{
	if (export->server > 0 && waitpid(export->server, NULL, WNOHANG) == 0)
		return 0;
	export->server = 0;
	complain("nbdkit, which the memory is exported by, has ended");
	return -1;
}

void post_copy_export_stop(struct post_copy_export *export)
{
	if (export->server > 0) {
		kill(export->server, SIGKILL);
		waitpid(export->server, NULL, 0);
	}
	if (export->listener >= 0)
		close(export->listener);
	if (export->memory >= 0)
		close(export->memory);
	own_name_remove(&export->socket);
	free(export->uri);
}
