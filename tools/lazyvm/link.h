/* SPDX-License-Identifier: MIT
 *
 * link.h - a connection between the two sides of a migration: whole messages over
 * TCP, in the open or through TLS.
 *
 * Used by one thread at a time. Whatever is not LINK_OK leaves a sentence in
 * fault_message(). Nothing waits for ever: a peer that says nothing for as long
 * as the link's patience is as good as gone.
 */
#ifndef LAZYVM_LINK_H
#define LAZYVM_LINK_H

#include "wire.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum link_result {
	LINK_OK = 0,
	LINK_QUIET,    /* nothing whole came in time; ask again */
	LINK_BROKEN,   /* the connection is gone, or the peer is silent */
	LINK_NONSENSE, /* the peer does not keep to the protocol, or is another program */
	LINK_STOPPED,  /* somebody of this side wants it to end */
};

struct link_tls;

/* How a link is kept secret: files of the GnuTLS kind, as nbdkit and libnbd take
 * them. `path` is a file with "NAME:KEY", or a directory with ca-cert.pem and
 * the certificates and keys of server and client. */
struct link_security {
	enum wire_security kind;
	const char *path;
};

struct link {
	int fd; /* -1: not connected */
	struct link_tls *tls;
	int stop_fd;          /* readable: LINK_STOPPED; -1: nobody stops it */
	unsigned patience_ms; /* how long the peer may be silent */
	uint64_t heard_ms;    /* when it last was not */
	uint64_t said_ms;     /* when it was last told something */

	unsigned char header[WIRE_HEADER];
	size_t header_there;
	unsigned char *payload; /* of the message that arrives */
	size_t payload_there;
	size_t payload_length;
	char peer[80];  /* its numeric address, without the port */
	char host[256]; /* as link_connect was given it */
};

/* ---- link_connect.c: "HOST:PORT", "[ADDRESS]:PORT" ------------------------------ */

/* -1 and a sentence, like all of them. */
int link_listen(const char *address, int *ret_fd);
enum link_result link_connect(struct link *link, const char *address);

/* Wait for a connection, also when there is no descriptor or no memory for it yet: its
 * descriptor, or -1 when `stop_fd` can be read. `flags` as for accept4. */
int link_accept(int listener, int stop_fd, int flags);

/* The socket of a connection that was accepted. */
enum link_result link_adopt(struct link *link, int fd);

/* The port that a listening socket has. */
int link_port(int fd, uint16_t *ret_port);

/* A listening socket for somebody else, on the address of this end of the link. */
int link_listen_beside(const struct link *link, int *ret_fd, uint16_t *ret_port);

/* ---- link_tls.c ---------------------------------------------------------------- */

/* Nothing for WIRE_PLAIN. The side that accepted is the server. */
enum link_result link_secure(struct link *link, const struct link_security *security,
			     bool is_server);
/* Bytes like send(2) and recv(2), -1 and errno; EAGAIN when the socket has to be waited for. */
ssize_t link_tls_send(struct link_tls *tls, const void *bytes, size_t length);
ssize_t link_tls_receive(struct link_tls *tls, void *bytes, size_t length);
void link_tls_free(struct link_tls *tls);

/* Why one of them failed for good. */
const char *link_tls_complaint(const struct link_tls *tls);

/* The name in the first line of a PSK file, for the caller to free. NULL: a sentence. */
char *link_psk_name(const char *path);

/* Can it be used as it is said? Before anything is connected. */
int link_check_security(const struct link_security *security);

/* ---- link.c ---------------------------------------------------------------------- */

/* A link to nobody. */
void link_init(struct link *link, int stop_fd, unsigned patience_ms);

/* The next message; its payload is valid until the next call. Waits for at
 * most wait_ms: LINK_QUIET. */
enum link_result link_receive(struct link *link, unsigned wait_ms,
			      struct wire_message *ret_message);

enum link_result link_send(struct link *link, enum wire_type type, const void *payload,
			   size_t length);
enum link_result link_send_sentence(struct link *link, enum wire_type type, const char *sentence);

/* Has the peer been told nothing for so long? It wants a sign of life then, also while it
 * talks itself. */
bool link_is_silent(const struct link *link, unsigned milliseconds);

/* Wait until the socket can be read or written, at most until `until_ms` of link_now. */
enum link_result link_wait(const struct link *link, short events, uint64_t until_ms);

/* CLOCK_MONOTONIC in milliseconds. */
uint64_t link_now(void);

/* Close. What was sent is still delivered. */
void link_close(struct link *link);

#endif
