/* SPDX-License-Identifier: MIT
 *
 * lazyvm_migrate_proxy.c - stands between the two sides of a migration, so that a
 * test can do something at exactly one moment of it.
 *
 *   lazyvm_migrate_proxy HOST DESTINATION PORT TYPE COUNT COMMAND
 *
 * Listens at a free port of HOST, which it prints, and passes every connection on
 * to DESTINATION:PORT. The first COUNT times that a message TYPE comes along, from
 * either side, COMMAND is run by the shell before it is passed on; when that fails,
 * both connections are closed, and the message is lost; but when it ends with status 3,
 * the EXPORT of before is said once more instead, in front of it. Other TYPEs:
 *
 *   silence        what connects is never answered, and nothing is passed on
 *   chatter-there  the destination hears every 50 ms that the source is alive
 *   chatter-back   the source hears every 50 ms how far the destination is
 *   usurper        listens at PORT of HOST in place of the destination, knows no key, and says
 *                  to whoever connects that all is well
 */
#include "wire.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHATTER_MS 50
#define SAY_EXPORT_AGAIN 3

struct proxy {
	struct sockaddr_in destination;
	const char *type;
	unsigned left; /* times to run the command */
	const char *command;
};

/* One direction: the bytes of a message that is not whole yet. */
struct stream {
	int from;
	int to;
	unsigned char bytes[WIRE_HEADER + WIRE_PAYLOAD_MOST];
	size_t length;
	bool has_begun; /* a message has been passed on */
};

static unsigned char last_export[WIRE_HEADER + WIRE_SMALL_MOST];
static size_t last_export_length;

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	perror(what);
	exit(1);
}

static void send_whole(int fd, const unsigned char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		bytes += sent;
		length -= (size_t)sent;
	}
}

/* The length of the first message; 0: it is not all there. */
static size_t first_message(const struct stream *stream, struct wire_header *ret_header)
{
	if (stream->length < WIRE_HEADER || wire_parse_header(stream->bytes, ret_header) != 0)
		return 0;
	if (stream->length < WIRE_HEADER + ret_header->length)
		return 0;
	return WIRE_HEADER + ret_header->length;
}

static void note_export(const struct stream *stream, const struct wire_header *header)
{
	if (header->type != WIRE_EXPORT)
		return;
	last_export_length = WIRE_HEADER + header->length;
	memcpy(last_export, stream->bytes, last_export_length);
}

static bool run_command(const struct proxy *proxy, const struct stream *stream)
{
	int status = system(proxy->command);

	if (WIFEXITED(status) && WEXITSTATUS(status) == SAY_EXPORT_AGAIN) {
		send_whole(stream->to, last_export, last_export_length);
		return true;
	}
	return status == 0;
}

/* false: both connections are to be closed. */
static bool pass_messages(struct proxy *proxy, struct stream *stream)
{
	struct wire_header header;
	size_t length;

	while ((length = first_message(stream, &header)) > 0) {
		if (proxy->left > 0 && strcmp(wire_type_name(header.type), proxy->type) == 0) {
			proxy->left--;
			if (!run_command(proxy, stream))
				return false;
		}
		note_export(stream, &header);
		send_whole(stream->to, stream->bytes, length);
		stream->has_begun = true;
		memmove(stream->bytes, stream->bytes + length, stream->length - length);
		stream->length -= length;
	}
	return true;
}

static bool pump(struct proxy *proxy, struct stream *stream)
{
	ssize_t count = recv(stream->from, stream->bytes + stream->length,
			     sizeof(stream->bytes) - stream->length, 0);

	if (count <= 0)
		return false;
	stream->length += (size_t)count;
	return pass_messages(proxy, stream);
}

static void say(int fd, enum wire_type type, const unsigned char *payload, size_t length)
{
	unsigned char header[WIRE_HEADER];

	wire_seal(header, type, payload, length);
	send_whole(fd, header, WIRE_HEADER);
	send_whole(fd, payload, length);
}

static void say_progress(int fd, enum wire_type type)
{
	const struct wire_progress progress = {.total = 1};
	unsigned char payload[WIRE_SMALL_MOST];

	say(fd, type, payload, wire_put_progress(payload, &progress));
}

static void chatter(const struct proxy *proxy, const struct stream *there,
		    const struct stream *back)
{
	if (strcmp(proxy->type, "chatter-there") == 0 && there->has_begun)
		say(there->to, WIRE_ALIVE, NULL, 0);
	if (strcmp(proxy->type, "chatter-back") == 0 && back->has_begun)
		say_progress(back->to, WIRE_PROGRESS);
}

/* No handshake, and then what only the destination may say. */
static void usurp(int source)
{
	char bytes[4096];

	(void)recv(source, bytes, sizeof(bytes), 0);
	send_whole(source, (const unsigned char *)"12345", 5);
	say_progress(source, WIRE_COMPLETE);
	printf("usurped\n");
	fflush(stdout);
	while (recv(source, bytes, sizeof(bytes), 0) > 0)
		continue;
}

static void serve(struct proxy *proxy, int source)
{
	static struct stream there;
	static struct stream back;
	int destination = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd polled[2] = {{.fd = source, .events = POLLIN},
				   {.fd = destination, .events = POLLIN}};

	if (connect(destination, (struct sockaddr *)&proxy->destination,
		    sizeof(proxy->destination)) != 0) {
		close(destination);
		return;
	}
	there = (struct stream){.from = source, .to = destination};
	back = (struct stream){.from = destination, .to = source};
	for (;;) {
		if (poll(polled, 2, CHATTER_MS) < 0)
			continue;
		chatter(proxy, &there, &back);
		if (polled[0].revents != 0 && !pump(proxy, &there))
			break;
		if (polled[1].revents != 0 && !pump(proxy, &back))
			break;
	}
	close(destination);
}

static int listen_at(const char *host, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int one = 1;
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	check(inet_pton(AF_INET, host, &address.sin_addr) - 1, host);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, 4), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
	printf("listening on port %u\n", ntohs(address.sin_port));
	fflush(stdout);
	return listener;
}

int main(int argc, char **argv)
{
	struct proxy proxy = {.destination = {.sin_family = AF_INET}};
	bool is_usurper;
	int listener;

	if (argc != 7) {
		fprintf(stderr, "usage: %s HOST DESTINATION PORT TYPE COUNT COMMAND\n", argv[0]);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* with the test */
	check(inet_pton(AF_INET, argv[2], &proxy.destination.sin_addr) - 1, argv[2]);
	proxy.destination.sin_port = htons((uint16_t)atoi(argv[3]));
	proxy.type = argv[4];
	proxy.left = (unsigned)atoi(argv[5]);
	proxy.command = argv[6];
	is_usurper = strcmp(proxy.type, "usurper") == 0;
	listener = listen_at(argv[1], is_usurper ? (uint16_t)atoi(argv[3]) : 0);
	for (;;) {
		int source = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (source < 0)
			continue;
		if (strcmp(proxy.type, "silence") == 0)
			continue;
		if (is_usurper)
			usurp(source);
		else
			serve(&proxy, source);
		close(source);
	}
}
