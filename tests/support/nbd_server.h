/* SPDX-License-Identifier: MIT
 *
 * nbd_server.h - nbdkit on a unix socket in the scratch directory. It ends with
 * the thread that has started it, however that ends.
 */
#ifndef TEST_NBD_SERVER_H
#define TEST_NBD_SERVER_H

#include "harness.h"
#include <sys/types.h>

struct nbd_server {
	pid_t pid;        /* 0: it does not run */
	char socket[104]; /* its path */
	char uri[160];    /* nbd+unix:///?socket=... */
	char pid_file[112];
	char log[112]; /* what it says */
};

/* Skip the program unless nbdkit is installed and the library was built with libnbd. */
void require_nbd(void);

/* A server that does not run yet, by a name that becomes its socket's. */
void nbd_server_init(struct nbd_server *server, const char *name);

/* Run nbdkit with these arguments (NULL ends them), and wait until it listens.
 * Again after it was stopped, too. */
void nbd_server_start(struct nbd_server *server, const char *const *arguments);
#define NBD_SERVER_START(server, ...)                                                              \
	nbd_server_start((server), (const char *const[]){__VA_ARGS__, NULL})

/* The same on a port of 127.0.0.1 that the kernel chooses; returns it. */
unsigned nbd_server_start_tcp(struct nbd_server *server, const char *const *arguments);

/* Kill it with SIGKILL, as a machine dies. Nothing when it does not run. */
void nbd_server_kill(struct nbd_server *server);

/* Stop it where it is (it answers nothing any more on return), and let it go on. */
void nbd_server_freeze(const struct nbd_server *server);
void nbd_server_thaw(const struct nbd_server *server);

#endif
