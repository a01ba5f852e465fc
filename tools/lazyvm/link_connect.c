/* SPDX-License-Identifier: MIT
 *
 * How a link comes to its socket.
 */
#include "fault.h"
#include "link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 16
#define PAUSE_MS 20 /* until descriptors or memory are looked for again */

/* ---- addresses -------------------------------------------------------------------- */

/* In place: "HOST:PORT" and "[HOST]:PORT" into two strings. */
static int split_address(char *address, const char **ret_host, const char **ret_port)
{
	char *colon = strrchr(address, ':');
	size_t length;

	if (colon == NULL || colon == address || colon[1] == '\0')
		return fault("%s: is no address: give HOST:PORT or [HOST]:PORT", address);
	*colon = '\0';
	length = strlen(address);
	if (address[0] == '[' && address[length - 1] == ']') {
		address[length - 1] = '\0';
		address++;
	}
	*ret_host = address;
	*ret_port = colon + 1;
	return 0;
}

/* For freeaddrinfo. */
static int resolve(const char *address, int flags, struct addrinfo **ret_found)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = flags | AI_NUMERICSERV};
	char *copy = strdup(address);
	const char *host = NULL;
	const char *port = NULL;
	int error;

	if (copy == NULL)
		return fault("no memory for an address");
	if (split_address(copy, &host, &port) != 0) {
		free(copy);
		return -1;
	}
	error = getaddrinfo(host, port, &hints, ret_found);
	free(copy);
	return error == 0 ? 0 : fault("%s: %s", address, gai_strerror(error));
}

/* Who comes by IPv4 to a socket of IPv6 is known by the IPv4 address: certificates have that. */
static void unmap(struct sockaddr_storage *address, socklen_t *length)
{
	struct sockaddr_in plain = {.sin_family = AF_INET};
	struct sockaddr_in6 mapped;

	memcpy(&mapped, address, sizeof(mapped));
	if (address->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&mapped.sin6_addr))
		return;
	plain.sin_port = mapped.sin6_port;
	memcpy(&plain.sin_addr, &mapped.sin6_addr.s6_addr[12], sizeof(plain.sin_addr));
	memcpy(address, &plain, sizeof(plain));
	*length = sizeof(plain);
}

static int name_peer(struct link *link)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);

	if (getpeername(link->fd, (struct sockaddr *)&address, &length) != 0)
		return fault("getpeername: %s", strerror(errno));
	unmap(&address, &length);
	if (getnameinfo((struct sockaddr *)&address, length, link->peer, sizeof(link->peer), NULL,
			0, NI_NUMERICHOST) != 0)
		return fault("the address of the peer cannot be written down");
	return 0;
}

/* ---- connections ------------------------------------------------------------------- */

enum link_result link_adopt(struct link *link, int fd)
{
	const int one = 1;

	link->fd = fd;
	link->heard_ms = link->said_ms = link_now();
	/* Signs of life and the switch-over are small, and must not wait for more. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &link->patience_ms,
		   sizeof(link->patience_ms));
	return name_peer(link) == 0 ? LINK_OK : LINK_BROKEN;
}

/* A connect that was begun. */
static int finish_connect(struct link *link, uint64_t until)
{
	int error = 0;
	socklen_t length = sizeof(error);

	switch (link_wait(link, POLLOUT, until)) {
	case LINK_OK:
		getsockopt(link->fd, SOL_SOCKET, SO_ERROR, &error, &length);
		return error;
	case LINK_QUIET:
		return ETIMEDOUT;
	case LINK_STOPPED:
		return ECANCELED;
	default:
		return EIO;
	}
}

static int connect_to(struct link *link, const struct addrinfo *to, uint64_t until)
{
	int error;

	link->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (link->fd < 0)
		return errno;
	error = connect(link->fd, to->ai_addr, to->ai_addrlen) == 0 ? 0 : errno;
	if (error == EINPROGRESS)
		error = finish_connect(link, until);
	if (error != 0) {
		close(link->fd);
		link->fd = -1;
	}
	return error;
}

/* Whom to expect there: what the address resolves to is anybody's word. */
static void note_host(struct link *link, const char *address)
{
	char copy[sizeof(link->host)];
	const char *host = NULL;
	const char *port = NULL;

	snprintf(copy, sizeof(copy), "%s", address);
	if (split_address(copy, &host, &port) == 0)
		snprintf(link->host, sizeof(link->host), "%s", host);
}

enum link_result link_connect(struct link *link, const char *address)
{
	uint64_t until = link_now() + link->patience_ms;
	struct addrinfo *found;
	int error = 0;

	if (resolve(address, 0, &found) != 0)
		return LINK_BROKEN;
	for (const struct addrinfo *to = found; to != NULL && link->fd < 0; to = to->ai_next)
		error = connect_to(link, to, until);
	freeaddrinfo(found);
	note_host(link, address);
	if (link->fd >= 0)
		return link_adopt(link, link->fd);
	fault("%s: %s", address, strerror(error));
	return error == ECANCELED ? LINK_STOPPED : LINK_BROKEN;
}

/* ---- listening ------------------------------------------------------------------------ */

static int listen_at(const struct sockaddr *address, socklen_t length)
{
	const int one = 1;
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, address, length) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

int link_listen(const char *address, int *ret_fd)
{
	struct addrinfo *found;
	int fd;

	if (resolve(address, AI_PASSIVE, &found) != 0)
		return -1;
	fd = listen_at(found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	if (fd < 0)
		return fault("%s: cannot listen: %s", address, strerror(errno));
	*ret_fd = fd;
	return 0;
}

/* A connection that cannot be accepted stays in front of the listener, which stays readable. */
static bool lacks_room(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

int link_accept(int listener, int stop_fd, int flags)
{
	struct pollfd polled[2] = {{.fd = stop_fd, .events = POLLIN},
				   {.fd = listener, .events = POLLIN}};

	for (;;) {
		int fd;

		if (poll(polled, 2, -1) < 0)
			continue;
		if (polled[0].revents != 0)
			return -1;
		fd = accept4(listener, NULL, NULL, flags);
		if (fd >= 0)
			return fd;
		if (lacks_room(errno))
			poll(polled, 1, PAUSE_MS);
	}
}

static uint16_t *port_of(struct sockaddr_storage *address)
{
	if (address->ss_family == AF_INET6)
		return &((struct sockaddr_in6 *)address)->sin6_port;
	return &((struct sockaddr_in *)address)->sin_port;
}

int link_port(int fd, uint16_t *ret_port)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
		return fault("getsockname: %s", strerror(errno));
	*ret_port = ntohs(*port_of(&address));
	return 0;
}

int link_listen_beside(const struct link *link, int *ret_fd, uint16_t *ret_port)
{
	struct sockaddr_storage address = {0};
	socklen_t length = sizeof(address);
	int fd;

	if (getsockname(link->fd, (struct sockaddr *)&address, &length) != 0)
		return fault("getsockname: %s", strerror(errno));
	*port_of(&address) = 0;
	fd = listen_at((struct sockaddr *)&address, length);
	if (fd < 0)
		return fault("cannot listen beside the connection to %s: %s", link->peer,
			     strerror(errno));
	if (link_port(fd, ret_port) != 0) {
		close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}
