/* SPDX-License-Identifier: MIT
 *
 * Whole messages over a connection.
 *
 * The socket never blocks; whoever waits also waits for stop_fd. A message may
 * arrive in any pieces, over several calls: what is there of it is kept in the link, so that
 * a caller can look after other things between two calls. Memory for a payload is
 * taken only after the header was found sound.
 */
#include "link.h"

#include "fault.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t link_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void link_init(struct link *link, int stop_fd, unsigned patience_ms)
{
	*link = (struct link){.fd = -1, .stop_fd = stop_fd, .patience_ms = patience_ms};
}

void link_close(struct link *link)
{
	link_tls_free(link->tls);
	free(link->payload);
	if (link->fd >= 0)
		close(link->fd);
	link_init(link, link->stop_fd, link->patience_ms);
}

static enum link_result say_stopped(void)
{
	fault("it was cancelled");
	return LINK_STOPPED;
}

enum link_result link_wait(const struct link *link, short events, uint64_t until_ms)
{
	struct pollfd polled[2] = {{.fd = link->fd, .events = events},
				   {.fd = link->stop_fd, .events = POLLIN}};

	for (;;) {
		uint64_t now = link_now();
		int count = poll(polled, 2, now < until_ms ? (int)(until_ms - now) : 0);

		if (count < 0 && errno != EINTR) {
			fault("poll: %s", strerror(errno));
			return LINK_BROKEN;
		}
		if (count > 0 && polled[1].revents != 0)
			return say_stopped();
		if (count > 0)
			return LINK_OK;
		if (link_now() >= until_ms)
			return LINK_QUIET;
	}
}

/* ---- receiving ------------------------------------------------------------------ */

static ssize_t receive_bytes(struct link *link, void *bytes, size_t length)
{
	if (link->tls != NULL)
		return link_tls_receive(link->tls, bytes, length);
	return recv(link->fd, bytes, length, 0);
}

static const char *why_lost(const struct link *link, ssize_t count)
{
	if (count == 0)
		return "the peer has closed it";
	return link->tls != NULL ? link_tls_complaint(link->tls) : strerror(errno);
}

/* LINK_QUIET: there is no more for now. */
static enum link_result fill(struct link *link, unsigned char *bytes, size_t length, size_t *there)
{
	while (*there < length) {
		ssize_t count = receive_bytes(link, bytes + *there, length - *there);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0 && errno == EAGAIN)
			return LINK_QUIET;
		if (count <= 0) {
			fault("the connection to %s is lost: %s", link->peer,
			      why_lost(link, count));
			return LINK_BROKEN;
		}
		*there += (size_t)count;
		link->heard_ms = link_now();
	}
	return LINK_OK;
}

static enum link_result take_header(struct link *link)
{
	struct wire_header header;

	if (wire_parse_header(link->header, &header) != 0)
		return LINK_NONSENSE;
	free(link->payload);
	link->payload_length = header.length;
	link->payload_there = 0;
	link->payload = malloc(header.length > 0 ? header.length : 1);
	if (link->payload != NULL)
		return LINK_OK;
	fault("no memory for a message of the peer");
	return LINK_BROKEN;
}

/* As much of the message as there is; LINK_OK: all of it. */
static enum link_result advance(struct link *link)
{
	enum link_result result;

	if (link->header_there < WIRE_HEADER) {
		result = fill(link, link->header, WIRE_HEADER, &link->header_there);
		if (result == LINK_OK)
			result = take_header(link);
		if (result != LINK_OK)
			return result;
	}
	return fill(link, link->payload, link->payload_length, &link->payload_there);
}

static enum link_result take_message(struct link *link, struct wire_message *ret_message)
{
	struct wire_header header;

	link->header_there = 0;
	if (wire_verify(link->header, link->payload, link->payload_length) != 0 ||
	    wire_parse_header(link->header, &header) != 0)
		return LINK_NONSENSE;
	*ret_message = (struct wire_message){header.type, link->payload, link->payload_length};
	return LINK_OK;
}

/* Also where the peer says so much that nothing has to be waited for. */
static bool is_stopped(const struct link *link)
{
	struct pollfd stop = {.fd = link->stop_fd, .events = POLLIN};

	return poll(&stop, 1, 0) > 0;
}

enum link_result link_receive(struct link *link, unsigned wait_ms, struct wire_message *ret_message)
{
	uint64_t until = link_now() + wait_ms;

	if (is_stopped(link))
		return say_stopped();
	for (;;) {
		enum link_result result = advance(link);
		uint64_t silent_until = link->heard_ms + link->patience_ms;

		if (result == LINK_OK)
			return take_message(link, ret_message);
		if (result != LINK_QUIET)
			return result;
		if (link_now() >= silent_until) {
			fault("%s has said nothing for %u ms", link->peer, link->patience_ms);
			return LINK_BROKEN;
		}
		result = link_wait(link, POLLIN, until < silent_until ? until : silent_until);
		if (result == LINK_STOPPED || result == LINK_BROKEN)
			return result;
		if (result == LINK_QUIET && link_now() >= until)
			return LINK_QUIET;
	}
}

/* ---- sending --------------------------------------------------------------------- */

static ssize_t send_bytes(struct link *link, const void *bytes, size_t length)
{
	if (link->tls != NULL)
		return link_tls_send(link->tls, bytes, length);
	return send(link->fd, bytes, length, MSG_NOSIGNAL);
}

bool link_is_silent(const struct link *link, unsigned milliseconds)
{
	return link->fd >= 0 && link_now() - link->said_ms >= milliseconds;
}

/* A message is sent whole: nobody stops it half way. */
static enum link_result wait_to_send(const struct link *link, uint64_t until)
{
	struct link deaf = *link;
	enum link_result result;

	deaf.stop_fd = -1;
	result = link_wait(&deaf, POLLOUT, until);
	if (result != LINK_QUIET)
		return result;
	fault("%s has taken nothing for %u ms", link->peer, link->patience_ms);
	return LINK_BROKEN;
}

static enum link_result send_all(struct link *link, const unsigned char *bytes, size_t length)
{
	uint64_t until = link_now() + link->patience_ms;

	while (length > 0) {
		ssize_t count = send_bytes(link, bytes, length);

		if (count > 0) {
			bytes += count;
			length -= (size_t)count;
			link->said_ms = link_now();
			until = link->said_ms + link->patience_ms;
			continue;
		}
		if (count < 0 && errno == EAGAIN) {
			enum link_result result = wait_to_send(link, until);

			if (result != LINK_OK)
				return result;
		} else if (count == 0 || errno != EINTR) {
			fault("the connection to %s is lost: %s", link->peer,
			      why_lost(link, count));
			return LINK_BROKEN;
		}
	}
	return LINK_OK;
}

enum link_result link_send(struct link *link, enum wire_type type, const void *payload,
			   size_t length)
{
	unsigned char small[WIRE_HEADER + WIRE_SMALL_MOST];
	enum link_result result;

	wire_seal(small, type, payload, length);
	if (length <= WIRE_SMALL_MOST) {
		if (length > 0)
			memcpy(small + WIRE_HEADER, payload, length);
		return send_all(link, small, WIRE_HEADER + length);
	}
	result = send_all(link, small, WIRE_HEADER);
	return result == LINK_OK ? send_all(link, payload, length) : result;
}

enum link_result link_send_sentence(struct link *link, enum wire_type type, const char *sentence)
{
	unsigned char payload[WIRE_SENTENCE_MOST];

	return link_send(link, type, payload, wire_put_sentence(payload, sentence));
}
